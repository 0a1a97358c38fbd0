"""Other clients: the AWS command line, its CRT transfers, rclone, and curl's own signatures; and boto3's transfers of
large files."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

import boto3.s3.transfer

from harness import *  # noqa: F403

AWS = os.path.join(os.path.dirname(sys.executable), "aws")


def run_in(directory, *command, stdin=b"", **environment):
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": f"{directory}/aws-config",
        "AWS_MAX_ATTEMPTS": "1",
        **environment,
    }
    # rclone refuses to start with it.
    env.pop("AWS_CA_BUNDLE", None)
    if CA and command[0] == AWS:
        env["AWS_CA_BUNDLE"] = CA
    done = subprocess.run(command, cwd=directory, env=env, input=stdin, capture_output=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-400:]}"
    return done.stdout


@check
def aws_command_line():
    if not os.path.exists(AWS):
        raise Skip("awscli is not installed")
    with Bucket("aws") as bucket, tempfile.TemporaryDirectory() as directory:

        def aws(*arguments, **more):
            return run_in(directory, AWS, "--endpoint-url", ENDPOINT, *arguments, **more)

        os.makedirs(f"{directory}/tree/sub dir")
        for name, size in [("a", 10), ("sub dir/ü", 9 * MIB), ("sub dir/b", 0)]:
            with open(f"{directory}/tree/{name}", "wb") as file:
                file.write(os.urandom(size))
        aws("s3", "cp", "--recursive", "tree", f"s3://{bucket}/tree")
        same(aws("s3", "sync", "tree", f"s3://{bucket}/tree"), b"")
        aws("s3", "sync", f"s3://{bucket}/tree", "back")
        assert subprocess.run(["diff", "-r", "tree", "back"], cwd=directory).returncode == 0
        assert b"sub dir/" in aws("s3", "ls", f"s3://{bucket}/tree/")
        aws("s3", "mv", f"s3://{bucket}/tree/a", f"s3://{bucket}/moved")
        aws("s3", "cp", "-", f"s3://{bucket}/piped", stdin=b"piped")
        same(aws("s3", "cp", f"s3://{bucket}/piped", "-"), b"piped")
        # Without this, version 1 of the command line signs URLs for other endpoints as version 2 of signatures does.
        aws("configure", "set", "default.s3.signature_version", "s3v4")
        url = aws("s3", "presign", f"s3://{bucket}/piped").decode().strip()
        same(run_in(directory, "curl", "-sf", *(["--cacert", CA] if CA else []), url), b"piped")
        for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
            aws(
                "s3api",
                "put-object",
                "--bucket",
                bucket,
                "--key",
                algorithm,
                "--body",
                "tree/sub dir/ü",
                "--checksum-algorithm",
                algorithm,
            )
        aws("s3", "rm", "--recursive", f"s3://{bucket}/")
        same(s3().list_objects_v2(Bucket=bucket)["KeyCount"], 0)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@check
def a_gibibyte_in_parallel_parts():
    parallel = boto3.s3.transfer.TransferConfig(
        multipart_threshold=8 * MIB,
        multipart_chunksize=16 * MIB,
        max_concurrency=8,
        preferred_transfer_client="classic",
    )
    with Bucket("gibibyte") as bucket, tempfile.TemporaryDirectory() as directory:
        sent, got = f"{directory}/sent", f"{directory}/got"
        with open(sent, "wb") as file:
            for _ in range(64):
                file.write(os.urandom(16 * MIB))
        s3().upload_file(sent, bucket, "large", Config=parallel)
        head = s3().head_object(Bucket=bucket, Key="large")
        assert head["ContentLength"] == 1024 * MIB and head["ETag"].endswith('-64"'), head
        s3().download_file(bucket, "large", got, Config=parallel)
        same(sha256_of(got), sha256_of(sent))


@check
def crt_transfers():
    """The client under newer SDKs: parts in parallel, each framed as one chunk with its checksum behind it."""
    try:
        from awscrt import auth, http as crt_http, io, s3 as crt_s3
    except ImportError:
        raise Skip("awscrt is not installed")
    if URL.scheme == "https":
        raise Skip("only without TLS")
    bootstrap = io.ClientBootstrap(io.EventLoopGroup(1), io.DefaultHostResolver(io.EventLoopGroup(1)))
    provider = auth.AwsCredentialsProvider.new_static(ACCESS, SECRET)
    signing = crt_s3.create_default_s3_signing_config(region=REGION, credential_provider=provider)
    crt = crt_s3.S3Client(
        bootstrap=bootstrap,
        region=REGION,
        signing_config=signing,
        part_size=5 * MIB,
        multipart_upload_threshold=5 * MIB,
        tls_mode=crt_s3.S3RequestTlsMode.DISABLED,
    )
    host = NETLOC.replace("127.0.0.1", "localhost")
    with Bucket("crt") as bucket, tempfile.TemporaryDirectory() as directory:
        for name, size in [("small", 1000), ("large", 23 * MIB)]:
            data = os.urandom(size)
            with open(f"{directory}/{name}", "wb") as file:
                file.write(data)
            headers = crt_http.HttpHeaders([("host", host), ("content-length", str(size))])
            for algorithm in (crt_s3.S3ChecksumAlgorithm.CRC32, crt_s3.S3ChecksumAlgorithm.CRC64NVME):
                crt.make_request(
                    type=crt_s3.S3RequestType.PUT_OBJECT,
                    send_filepath=f"{directory}/{name}",
                    request=crt_http.HttpRequest("PUT", f"/{bucket}/{name}", headers),
                    checksum_config=crt_s3.S3ChecksumConfig(
                        algorithm=algorithm, location=crt_s3.S3ChecksumLocation.TRAILER
                    ),
                ).finished_future.result(60)
                assert s3().get_object(Bucket=bucket, Key=name)["Body"].read() == data, name
            crt.make_request(
                type=crt_s3.S3RequestType.GET_OBJECT,
                recv_filepath=f"{directory}/back",
                request=crt_http.HttpRequest("GET", f"/{bucket}/{name}", crt_http.HttpHeaders([("host", host)])),
                checksum_config=crt_s3.S3ChecksumConfig(validate_response=True),
            ).finished_future.result(60)
            with open(f"{directory}/back", "rb") as file:
                assert file.read() == data, name


@check
def rclone():
    if not shutil.which("rclone"):
        raise Skip("rclone is not installed")
    with Bucket("rclone") as bucket, tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/conf", "w") as file:
            file.write(
                f"[g]\ntype = s3\nprovider = Other\nendpoint = {ENDPOINT}\naccess_key_id = {ACCESS}\n"
                f"secret_access_key = {SECRET}\nregion = {REGION}\nforce_path_style = true\n"
            )

        def rclone(*arguments, **more):
            trust = ["--ca-cert", CA] if CA else []
            return run_in(
                directory,
                "rclone",
                "--config",
                "conf",
                "--retries",
                "1",
                "--low-level-retries",
                "1",
                *trust,
                *arguments,
                **more,
            )

        os.makedirs(f"{directory}/tree/sub/deep")
        for name, size in [("a b", 10), ("ü+%", 0), ("sub/big", 12 * MIB), ("sub/deep/x", 3)]:
            with open(f"{directory}/tree/{name}", "wb") as file:
                file.write(os.urandom(size))
        rclone("copy", "--s3-upload-cutoff", "6M", "--s3-chunk-size", "5M", "tree", f"g:{bucket}/tree")
        rclone("check", "--download", "tree", f"g:{bucket}/tree")
        rclone("check", "tree", f"g:{bucket}/tree")
        rclone("sync", f"g:{bucket}/tree", "back")
        assert subprocess.run(["diff", "-r", "tree", "back"], cwd=directory).returncode == 0
        same(
            sorted(rclone("lsf", "-R", "--files-only", f"g:{bucket}/tree").decode().split("\n"))[1:],
            sorted(["a b", "ü+%", "sub/big", "sub/deep/x"]),
        )
        rclone("moveto", f"g:{bucket}/tree/a b", f"g:{bucket}/tree/moved")
        rclone("rcat", f"g:{bucket}/piped", stdin=b"piped" * 1000)
        same(rclone("cat", f"g:{bucket}/piped"), b"piped" * 1000)
        same(
            run_in(
                directory,
                "curl",
                "-sf",
                *(["--cacert", CA] if CA else []),
                rclone("link", f"g:{bucket}/piped").decode().strip(),
            ),
            b"piped" * 1000,
        )
        rclone("purge", f"g:{bucket}/tree")
        rclone("delete", f"g:{bucket}")
        same(s3().list_objects_v2(Bucket=bucket)["KeyCount"], 0)


@check
def curl_signs_by_itself():
    if not shutil.which("curl"):
        raise Skip("curl is not installed")
    with Bucket("curl") as bucket, tempfile.TemporaryDirectory() as directory:

        def curl(*arguments):
            return run_in(
                directory,
                "curl",
                "-sf",
                "--path-as-is",
                *(["--cacert", CA] if CA else []),
                "--aws-sigv4",
                f"aws:amz:{REGION}:s3",
                "--user",
                f"{ACCESS}:{SECRET}",
                *arguments,
            )

        curl(
            "-X",
            "PUT",
            "--data-binary",
            "hello",
            "-H",
            f"x-amz-content-sha256: {sha256(b'hello')}",
            f"{ENDPOINT}/{bucket}/k",
        )
        same(curl("-H", f"x-amz-content-sha256: {sha256(b'')}", f"{ENDPOINT}/{bucket}/k"), b"hello")
