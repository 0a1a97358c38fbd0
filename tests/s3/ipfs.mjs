// What programs of the IPFS project make of a public bucket: @helia/verified-fetch, @ipld/car and ipfs-unixfs-importer, with
// their default hashers. The file FILE is at the URL GATEWAY under the CID that is its only argument.

import assert from 'node:assert'
import { createReadStream, readFileSync } from 'node:fs'
import http from 'node:http'
import { CarReader } from '@ipld/car'
import { withHTTP } from '@helia/http'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'
import { MemoryBlockstore } from 'blockstore-core'
import { createHeliaLight } from 'helia'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { sha256 } from 'multiformats/hashes/sha2'
import { equals } from 'uint8arrays'

const { GATEWAY, FILE } = process.env
const root = process.argv[2]
const file = readFileSync(FILE)

async function imported () {
  const profile = {
    cidVersion: 1, rawLeaves: true, chunker: fixedSize({ chunkSize: 1 << 20 }), layout: balanced({ maxChildrenPerNode: 1024 })
  }
  for await (const { cid } of importer([{ content: createReadStream(FILE) }], new MemoryBlockstore(), profile)) {
    assert.equal(cid.toString(), root)
  }
}

async function fetched (url) {
  const helia = await withHTTP(createHeliaLight(), {
    delegatedRouters: [url], recursiveGateways: [], allowLocal: true, allowInsecure: true
  }).start()
  const fetch = await createVerifiedFetchWithHelia(helia)
  try {
    const whole = await fetch(`ipfs://${root}`)
    assert.equal(whole.status, 200, await (whole.ok ? '' : whole.text()))
    assert(equals(new Uint8Array(await whole.arrayBuffer()), file), 'other bytes')
    const part = await fetch(`ipfs://${root}`, { headers: { range: 'bytes=30000000-30000999' } })
    assert.equal(part.status, 206)
    assert(equals(new Uint8Array(await part.arrayBuffer()), file.subarray(30000000, 30001000)), 'other bytes of a range')
  } finally {
    await fetch.stop()
    await helia.stop()
  }
}

async function archived () {
  const answer = await globalThis.fetch(`${GATEWAY}/ipfs/${root}?format=car`)
  const car = await CarReader.fromIterable(answer.body)
  assert.deepEqual((await car.getRoots()).map(String), [root])
  const leaves = []
  for await (const { cid, bytes } of car.blocks()) {
    assert(equals((await sha256.digest(bytes)).digest, cid.multihash.digest), `${cid} has other bytes`)
    if (cid.code === 0x55) leaves.push(bytes)
  }
  assert(equals(Buffer.concat(leaves), file), 'other bytes in the archive')
}

// A gateway that changes one byte of one block.
async function refused () {
  let changed = 0
  const liar = http.createServer((request, response) => {
    const ours = http.request(GATEWAY + request.url, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers)
      answer.on('data', (bytes) => {
        if (changed === 0 && bytes.length > 10000) changed = bytes[5000] ^= 1, changed = 1
        response.write(bytes)
      })
      answer.on('end', () => response.end())
    })
    request.pipe(ours)
  })
  await new Promise((resolve) => liar.listen(0, '127.0.0.1', resolve))
  try {
    await assert.rejects(fetched(`http://127.0.0.1:${liar.address().port}`))
    assert.equal(changed, 1)
  } finally {
    liar.closeAllConnections()
    liar.close()
  }
}

for (const check of [imported, () => fetched(GATEWAY), archived, refused]) {
  await check()
  console.log(`${check.name || 'fetched'}: ok`)
}
process.exit(0)
