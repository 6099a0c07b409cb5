// What one frame costs in the parser kernel and in the views on it. Method: docs/performance.md.
//
//   npm run bench                  all suites
//   npm run bench -- scan          those whose name has "scan" in it
//   npm run bench -- --json        one line of JSON a suite
import assert from 'node:assert/strict'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import Benchmark from 'benchmark'
import type { Address } from '../src/ids.ts'
import {
  FRAME_COMPLETE,
  L_LANES,
  L_TRANSACTIONS_FIRST,
  L_TRANSACTIONS_MAX,
  L_TRANSACTIONS_STRIDE,
  LIMITS,
  R_END,
  R_ERROR,
  RANDOM,
  SCRATCH_OCTETS,
  T_TID,
  TID_OCTETS,
  TRANSACTION_OCTETS,
} from '../src/parser/kernel/record.ts'
import { compileKernel, createKernel } from '../src/parser/kernel.ts'
import { MsrpFrame } from '../src/parser/msrp/frame.ts'
import { parseMsrpUri, sameMsrpUri } from '../src/parser/msrp/uri.ts'

/** Frames a run: benchmark.js and the loop around the work cost tens of nanoseconds a run, here a few a frame. */
const BATCH = 32

// The memory of one lane, as far as the kernel needs it.
const SCRATCH = 65_536 as Address
const TRANSACTIONS = (SCRATCH + SCRATCH_OCTETS) as Address
const TRANSACTIONS_MAX = 4096
const INPUT = TRANSACTIONS + TRANSACTIONS_MAX * TRANSACTION_OCTETS
const INPUT_OCTETS = 256 * 1024
const OUTPUT = INPUT + INPUT_OCTETS
const OUTPUT_OCTETS = 2 * INPUT_OCTETS

const memory = new WebAssembly.Memory({
  initial: Math.ceil((OUTPUT + OUTPUT_OCTETS) / 65_536),
  maximum: 65_536,
  shared: true,
})
const kernel = createKernel(compileKernel(), memory, SCRATCH)
const { octets, record, words } = kernel
const limits = (SCRATCH + LIMITS) >> 2
words[limits + L_LANES] = 1
words[limits + L_TRANSACTIONS_FIRST] = TRANSACTIONS
words[limits + L_TRANSACTIONS_STRIDE] = 0
words[limits + L_TRANSACTIONS_MAX] = TRANSACTIONS_MAX
crypto.getRandomValues(new Uint8Array(32)).forEach((octet, i) => {
  octets[SCRATCH + RANDOM + i] = octet
})

const relayUri = 'msrp://relay.example.org:2855/AAAABs7Qk2Jw0pXv9cRtYb3fHnM;tcp'
const aliceUri = 'msrp://alice.example.org:49154/iau39soe2843z;tcp'
const bobUri = 'msrp://bob.example.org:8493/foo4fy73q9gsb;tcp'

/** A chunk as alice sends it to bob through the relay. */
function send(tid: string, bodyOctets: number | null): string {
  const head = `MSRP ${tid} SEND\r\nTo-Path: ${relayUri} ${bobUri}\r\nFrom-Path: ${aliceUri}\r\nMessage-ID: m${tid}\r\n`
  if (bodyOctets === null) return `${head}-------${tid}$\r\n`
  const range = `Byte-Range: 1-${bodyOctets > 2048 ? '*' : bodyOctets}/${bodyOctets}\r\n`
  const text = 'What you read was written to be read by many, and read fast. '
  const body = text.repeat(Math.ceil(bodyOctets / text.length)).slice(0, bodyOctets)
  return `${head}${range}Content-Type: text/plain\r\n\r\n${body}\r\n-------${tid}$\r\n`
}

/** Bob's answer to a chunk that the relay forwarded to him. */
function ok(tid: string): string {
  return `MSRP ${tid} 200 OK\r\nTo-Path: ${relayUri}\r\nFrom-Path: ${bobUri}\r\n-------${tid}$\r\n`
}

/** Puts a batch of frames where the kernel reads them; returns where it ends. */
function place(frameOf: (tid: string) => string): number {
  const tids = Array.from({ length: BATCH }, (_, i) => `${String(i).padStart(4, '0')}d93kswow`)
  const batch = Buffer.from(tids.map(frameOf).join(''), 'latin1')
  assert(batch.length + 64 <= INPUT_OCTETS)
  octets.fill(0, INPUT, INPUT + INPUT_OCTETS)
  octets.set(batch, INPUT)
  return INPUT + batch.length
}

/** Reads all frames of a batch, with `each` in between. */
function scan(end: number, each?: () => void): void {
  let at = INPUT
  while (at < end) {
    if (kernel.frame(at, end, 0) !== FRAME_COMPLETE) throw new Error('a batch holds whole frames')
    each?.()
    at = record[R_END]!
  }
}

/** Keeps results from being optimised away. */
let sink = 0

/** Makes what a suite needs in memory, and returns one run: the work for BATCH frames. */
type Prepare = () => () => void

function scanning(frameOf: (tid: string) => string): Prepare {
  return () => {
    const end = place(frameOf)
    return () => scan(end)
  }
}

/** What the kernel does for a chunk that goes on: scan, forward under a new transaction id, answer 200. */
function relaying(bodyOctets: number): Prepare {
  return () => {
    const end = place((tid) => send(tid, bodyOctets))
    const tid = SCRATCH + RANDOM + 64
    return () => {
      let to = OUTPUT
      scan(end, () => {
        kernel.makeTid(tid, 0, 1, SCRATCH + RANDOM)
        to = kernel.forward(to, tid, TID_OCTETS, 1)
        to = kernel.ok(to)
      })
      sink += to
    }
  }
}

/** Looks at the frame that the kernel has read last, BATCH times. */
function viewing(look: (frame: MsrpFrame) => number): Prepare {
  return () => {
    scan(place((tid) => send(tid, 200)))
    assert.equal(record[R_ERROR], 0)
    const frame = new MsrpFrame(kernel)
    return () => {
      for (let i = 0; i < BATCH; i++) sink += look(frame.attach())
      frame.detach()
    }
  }
}

function everyField(frame: MsrpFrame): number {
  return (
    frame.method.length +
    frame.transactionId.length +
    frame.toPath.length +
    frame.fromPath.length +
    (frame.messageId?.length ?? 0) +
    (frame.byteRange?.start ?? 0) +
    frame.failureReport.length +
    Number(frame.successReport) +
    (frame.expires ?? 0) +
    frame.flag.length +
    (frame.body?.length ?? 0) +
    (frame.header('Content-Type')?.length ?? 0)
  )
}

/** BATCH responses, each to a transaction of its own, found in the table by their ids. */
function lookingUp(): () => void {
  const ids = Array.from({ length: BATCH }, (_, i) => {
    const slot = i * 97
    const at = TRANSACTIONS + slot * TRANSACTION_OCTETS + T_TID
    kernel.makeTid(at, 0, slot, SCRATCH + RANDOM)
    return Buffer.from(octets.subarray(at, at + TID_OCTETS)).toString('latin1')
  })
  let next = 0
  const end = place(() => ok(ids[next++ % BATCH]!))
  return () =>
    scan(end, () => {
      if (kernel.transaction() === 0) throw new Error('every transaction is found')
    })
}

const uris = [relayUri, aliceUri, bobUri, 'MSRPS://user@[2001:DB8::7]:2855/AAAA;tcp;a=b']
const parsedUris = uris.map((text) => parseMsrpUri(text)!)

const suites: Readonly<Record<string, Prepare>> = {
  'scan SEND, bodiless': scanning((tid) => send(tid, null)),
  'scan SEND, 0 octets': scanning((tid) => send(tid, 0)),
  'scan SEND, 200 octets': scanning((tid) => send(tid, 200)),
  'scan SEND, 400 octets': scanning((tid) => send(tid, 400)),
  'scan SEND, 4096 octets': scanning((tid) => send(tid, 4096)),
  'scan 200': scanning(ok),
  'scan 200, find its transaction': lookingUp,
  'scan, forward, answer SEND, 200 octets': relaying(200),
  'scan, forward, answer SEND, 400 octets': relaying(400),
  'scan, forward, answer SEND, 4096 octets': relaying(4096),
  'MsrpFrame, method': viewing((frame) => frame.method.length),
  'MsrpFrame, every field': viewing(everyField),
  'parse URI': () => () => {
    for (let i = 0; i < BATCH; i++) sink += parseMsrpUri(uris[i & 3]!)!.host.length
  },
  'kernel checks URI': () => {
    const from = INPUT
    octets.set(Buffer.from(relayUri), from)
    return () => {
      for (let i = 0; i < BATCH; i++) sink += Number(kernel.isUri(from, from + relayUri.length))
    }
  },
  'compare URIs': () => () => {
    for (let i = 0; i < BATCH; i++) sink += Number(sameMsrpUri(parsedUris[i & 3]!, parsedUris[(i >> 2) & 3]!))
  },
}

/** Runs a suite: nanoseconds a frame, and the relative margin of error in percent. */
function measure(name: string, prepare: Prepare): { ns: number; margin: number; samples: number } {
  const run = prepare()
  const bench = new Benchmark(name, run, { maxTime: 2, minSamples: 30 })
  bench.run()
  // benchmark.js keeps what the work throws.
  const { error } = bench as { error?: Error }
  if (error) throw error
  const { mean, rme, sample } = bench.stats
  return { ns: (mean * 1e9) / BATCH, margin: rme, samples: sample.length }
}

const { values, positionals } = parseArgs({ options: { json: { type: 'boolean' } }, allowPositionals: true })
const chosen = Object.entries(suites).filter(([name]) => positionals.every((word) => name.includes(word)))
if (chosen.length === 0) {
  console.error(
    `no suite has "${positionals.join(' ')}" in its name; there are:\n  ${Object.keys(suites).join('\n  ')}`,
  )
  process.exit(2)
}
for (const [name, prepare] of chosen) {
  const { ns, margin, samples } = measure(name, prepare)
  const rounded = { ns_per_frame: Number(ns.toFixed(1)), margin_percent: Number(margin.toFixed(2)), samples }
  if (values.json) console.log(JSON.stringify({ name, ...rounded, node: process.version, cpu_model: cpus()[0]?.model }))
  else console.log(`${name.padEnd(42)} ${ns.toFixed(1).padStart(9)} ns/frame  ±${margin.toFixed(2)} %`)
}
assert(Number.isFinite(sink))
