import { parseArgs } from 'node:util'
import { argumentValues } from '../argument-values.ts'
import type { DigestUse, Scenario, SipLoadOptions, SipTarget, SipTransport } from './options.ts'

export const USAGE = `npm run bench:sip -- [options]

  --transport T          udp or tcp (udp)
  --scenario S           register: refresh bindings; message: MESSAGE to a user who is online; both (both)
  --users N              registered users, a socket each (100)
  --window N             operations in flight in all, one a user at most (64)
  --size N               octets in the body of a MESSAGE (200)
  --digest D             each: every request is challenged anew; reuse: the nonce is used again;
                         none: the server takes the generator for a peer of its own (each)
  --workers LIST         one run for each value of \`workers\`, e.g. 0,1 (0,1)
  --seconds S            measured time of each scenario (5)
  --warmup S             time before it (1)
  --runs N               repeat everything, and add a line of medians (1)
  --connect HOST:PORT    use a server that is running already, with users u000000 and so on; their password in
                         SILOPATH_LOAD_PASSWORD
  --domain NAME          its domain (bench.test)
  --pid PID              its process, for CPU and memory
  --json                 lines of JSON only, nothing readable on stderr
`

export interface SipBenchOptions {
  /** Everything but the server. */
  readonly load: Omit<SipLoadOptions, 'target'>
  readonly workers: readonly number[]
  readonly runs: number
  /** A server that is running already, null to start one. */
  readonly connect: SipTarget | null
  readonly json: boolean
}

export const DOMAIN = 'bench.test'
const USERS_MAX = 10_000
/** Sequence number, sender and a delimiter stand in every body. */
const SIZE_MIN = 16
/** With its head, such a MESSAGE stays below what goes over UDP (S-24, S-82). */
const SIZE_MAX = 700
const DRAIN_MS = 3000

const { refuse, numberIn } = argumentValues(USAGE)

const oneOf = <Word extends string>(name: string, text: string, words: readonly Word[]): Word =>
  words.find((word) => word === text) ?? refuse(`--${name} ${text}: expected ${words.join(' or ')}`)

const parse = (argv: readonly string[]) => {
  const text = (value: string) => ({ type: 'string' as const, default: value })
  try {
    return parseArgs({
      args: [...argv],
      options: {
        transport: text('udp'),
        scenario: text('both'),
        users: text('100'),
        window: text('64'),
        size: text('200'),
        digest: text('each'),
        workers: text('0,1'),
        seconds: text('5'),
        warmup: text('1'),
        runs: text('1'),
        domain: text(DOMAIN),
        connect: { type: 'string' },
        pid: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

/** @throws SilopathError CONFIG_INVALID, with the usage */
export const sipBenchOptions = (argv: readonly string[], environment: NodeJS.ProcessEnv): SipBenchOptions => {
  const values = parse(argv)
  const { connect, pid } = values
  const users = numberIn('users', values.users, 2, USERS_MAX)
  const scenario = oneOf<Scenario | 'both'>('scenario', values.scenario, ['register', 'message', 'both'])
  if (pid !== undefined && connect === undefined) refuse('--pid only goes with --connect')

  const server = (address: string): SipTarget => {
    const [, host, port] = /^(.+):(\d+)$/.exec(address) ?? []
    if (host === undefined || port === undefined) return refuse(`--connect ${address}: expected HOST:PORT`)
    const password = environment.SILOPATH_LOAD_PASSWORD
    if (password === undefined) return refuse('--connect needs the password in SILOPATH_LOAD_PASSWORD')
    return {
      host,
      port: numberIn('connect', port, 1, 65_535),
      pid: pid === undefined ? null : numberIn('pid', pid, 1, 2 ** 22),
      domain: values.domain,
      password,
    }
  }

  return {
    load: {
      transport: oneOf<SipTransport>('transport', values.transport, ['udp', 'tcp']),
      scenarios: scenario === 'both' ? ['register', 'message'] : [scenario],
      users,
      window: Math.min(users, numberIn('window', values.window, 1, USERS_MAX)),
      size: numberIn('size', values.size, SIZE_MIN, SIZE_MAX),
      digest: oneOf<DigestUse>('digest', values.digest, ['each', 'reuse', 'none']),
      warmup: numberIn('warmup', values.warmup, 0, 900, false),
      seconds: numberIn('seconds', values.seconds, 0.1, 900, false),
      drainMs: DRAIN_MS,
    },
    workers: values.workers.split(',').map((count) => numberIn('workers', count, 0, 32)),
    runs: numberIn('runs', values.runs, 1, 1000),
    connect: connect === undefined ? null : server(connect),
    json: values.json,
  }
}
