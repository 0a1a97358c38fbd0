//! `-o` a fifo, a device, /dev/stdout, `>(command)`: the bytes are written into it, and it stays what it is.

use anyhow::Result;
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = r#"
        set -e
        mkdir -p tree && head -c 300000 /dev/urandom > tree/a
        link=$(ostrakon -q add tree/a); all=$(ostrakon -q add tree)
        mkfifo fifo
        for what in "$link" "$all/a"; do
            for more in "" --overwrite; do
                cat fifo > got & ostrakon -q get "$what" -o fifo $more; wait $!
                cmp tree/a got && [ -p fifo ] || { echo "fifo $more"; exit 1; }
                ostrakon -q get "$what" -o >(cat > got2) $more; until cmp -s tree/a got2; do sleep 0.01; done; rm got2
                ostrakon -q get "$what" -o /dev/stdout $more | cmp - tree/a
                ostrakon -q get "$what" -o /dev/stdout $more > regular; cmp regular tree/a
                echo before > log; ostrakon -q get "$what" -o /dev/fd/3 $more 3>> log
                cmp <(echo before; cat tree/a) log || { echo "a log is not appended to"; exit 1; }
                ostrakon -q get "$what" -o /dev/null $more
                [ -c /dev/null ] && [ -L /dev/stdout ] || { echo "a device was replaced"; exit 1; }
            done
        done
        if mknod device c 1 3 2>/dev/null; then
            ostrakon -q get "$link" -o device --overwrite; [ -c device ]; rm device
        fi
        # A directory cannot be written into a fifo.
        ostrakon -q get "$all" -o fifo && exit 1
        [ -p fifo ] && rm -r fifo got log regular tree
    "#;
    stage.cluster.shell(script)?.expect_code(0)?;
    Ok("a fifo, a device, /dev/stdout, /dev/fd and >(command), with and without --overwrite".to_owned())
}
