import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { frameText, type ReceivedFrame } from '../support/msrp-client.ts'
import {
  type Endpoint,
  eventually,
  laneSetups,
  type Relay,
  type RelayOptions,
  settle,
  setups,
  startRelay,
} from '../support/relay.ts'

/** One frame that alice sends; whatever follows another is what a run of frames may or may not go on with. */
interface Sent {
  readonly to: 'bob' | 'bob by another name' | 'carol' | 'nobody'
  readonly kind: 'SEND' | 'REPORT' | 'NICKNAME' | 'stray'
  readonly failureReport: 'absent' | 'yes' | 'no' | 'partial'
  readonly octets: number
  readonly flaw: 'none' | 'bad-byte-range' | 'long-path' | 'crlf'
}

const mostly = <T>(usual: T, ...others: T[]) =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const sent: fc.Arbitrary<Sent> = fc.record({
  to: mostly<Sent['to']>('bob', 'bob by another name', 'carol', 'nobody'),
  kind: mostly<Sent['kind']>('SEND', 'REPORT', 'NICKNAME', 'stray'),
  failureReport: mostly<Sent['failureReport']>('absent', 'yes', 'no', 'partial'),
  octets: fc.oneof(fc.constantFrom(0, 1, 200, 3000), fc.nat(900)),
  flaw: mostly<Sent['flaw']>('none', 'bad-byte-range', 'long-path', 'crlf'),
})

interface Party {
  readonly relay: Relay
  readonly alice: Endpoint
  readonly bob: Endpoint
  readonly carol: Endpoint
}

async function meet(how: RelayOptions): Promise<Party> {
  const relay = await startRelay(how)
  const [alice, bob, carol] = [await relay.session('alice'), await relay.session('bob'), await relay.session('mallory')]
  return { relay, alice, bob, carol }
}

/** Names that do not change from one relay to the other. */
function named(text: string, { relay, alice, bob, carol }: Party): string {
  const names = { ALICE: alice, BOB: bob, CAROL: carol }
  let plain = text
  for (const [name, { relayUri, uri }] of Object.entries(names)) {
    plain = plain.replaceAll(relayUri.slice('msrp:'.length), `<relay of ${name}>`).replaceAll(uri, `<${name}>`)
  }
  return plain.replaceAll(`:${relay.port}`, ':PORT')
}

function octetsOf(sent: readonly Sent[], { relay, alice, bob, carol }: Party): Buffer {
  const frames = sent.map(({ to, kind, failureReport, octets, flaw }, i) => {
    const paths = {
      bob: bob.path,
      'bob by another name': [bob.relayUri.replace('msrp:', 'MSRP:'), bob.uri],
      carol: carol.path,
      nobody: [relay.uri('A'.repeat(27)), bob.uri],
    }
    const long =
      flaw === 'long-path'
        ? [`msrp://far.test:1/${'x'.repeat(300)};tcp`, `msrp://far.test:2/${'y'.repeat(300)};tcp`]
        : []
    const parts = { tid: `t${i}aaaa`, toPath: [alice.relayUri, ...paths[to]], fromPath: [...long, alice.uri] }
    if (kind === 'stray') return frameText({ ...parts, toPath: alice.relayUri, status: 200 })
    const report = failureReport === 'absent' ? [] : ([['Failure-Report', failureReport]] as const)
    const headers = [
      ['Message-ID', `m${i}aaaa`],
      ['Byte-Range', flaw === 'bad-byte-range' ? '0-1/2' : `1-${octets}/${octets}`],
      ...(kind === 'SEND' ? report : []),
      ...(kind === 'REPORT' ? ([['Status', '000 200']] as const) : []),
    ] as const
    const body = kind === 'SEND' && octets > 0 ? { body: Buffer.alloc(octets, 97 + (i % 26)) } : {}
    const frame = frameText({ ...parts, method: kind, headers, ...body })
    return flaw === 'crlf' ? Buffer.concat([Buffer.from('\r\n'), frame]) : frame
  })
  return Buffer.concat(frames)
}

/** What a client has got, without what has to be fresh or is by chance. */
function seen(frames: readonly ReceivedFrame[], party: Party): string[] {
  return frames.map(({ octets, tid, kind }) => {
    const text = octets.toString('latin1')
    return named(kind === 'request' ? text.replaceAll(tid, 'TID') : text, party)
  })
}

async function exchange(sent: readonly Sent[], how: RelayOptions) {
  const party = await meet(how)
  const { relay, alice, bob, carol } = party
  const receivers = [bob, carol]
  for (const { client } of receivers) client.autoAnswer()
  const before = [alice, bob, carol].map(({ client }) => client.frames.length)
  alice.client.send(octetsOf(sent, party))
  await settle(alice)
  const count = (name: string, labels = {}) => relay.metric(`silopath_msrp_${name}_total`, labels)
  // Everything is on its way; once it has come, so have the answers to it been sent.
  const forwarded =
    (await count('frames', { direction: 'sent' })) - (await count('frames', { direction: 'sent', method: 'response' }))
  const arrived = () => receivers.reduce((sum, { client }, i) => sum + client.frames.length - before[i + 1]!, 0)
  await eventually(arrived).toBe(forwarded)
  for (const receiver of receivers) await settle(receiver)
  // The last that each has got is the answer to the frame that settles.
  const got = [alice, bob, carol].map(({ client }, i) => seen(client.frames.slice(before[i]!, -1), party))
  const counted = await Promise.all([
    ...['frames', 'responses', 'octets', 'frames_dropped', 'parse_errors'].map((name) => count(name)),
    // What of an earlier exchange was never answered is unreachable once its receiver has gone.
    ...['relayed', 'acknowledged', 'refused'].map((outcome) => count('deliveries', { outcome })),
  ])
  await relay.leave()
  return { got, counted }
}

describe('frames that come in one read', () => {
  test.each(laneSetups)('are treated as if each had come alone ($setup)', async ({ how }) => {
    const oneByOne = setups[1]!.how
    await fc.assert(
      fc.asyncProperty(fc.array(sent, { minLength: 1, maxLength: 40 }), async (frames) => {
        const [together, apart] = [await exchange(frames, how), await exchange(frames, oneByOne)]
        expect(together.got).toEqual(apart.got)
        expect(together.counted).toEqual(apart.counted)
      }),
      { numRuns: 12 },
    )
  })
})
