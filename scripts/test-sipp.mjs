// Interoperability with SIPp, a program that is not ours: REGISTER, MESSAGE and calls over UDP and TCP, the scenarios of
// test/sipp against a server of its own. `npm run test:sipp`; without SIPp it is skipped.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startServer } from '../bench/load/server-process.ts'
import { freePort } from '../bench/load/sip/sip-server.ts'

const HOST = '127.0.0.1'
const DOMAIN = 'sipp.test'
/** Of a server that lives for some seconds on a loopback address. */
const PASSWORD = 'sipp-only'
const CALLS = 20
const REGISTERED_WITHIN_MS = 5000
const TIMEOUT_SECONDS = 20

const scenarios = fileURLToPath(new URL('../test/sipp/', import.meta.url))

/** Starts SIPp with a scenario as this user; `done` resolves with what went wrong, or null. */
const start = async (folder, server, { transport, user, scenario, calls, more = [] }) => {
  // The port that SIPp would choose may be another SIPp's choice too.
  const port = await freePort()
  const own = mkdtempSync(join(folder, `${scenario}-`))
  const files = { errors: join(own, 'errors'), messages: join(own, 'messages'), log: join(own, 'log') }
  const child = spawn(
    'sipp',
    [
      `${HOST}:${server.port}`,
      ...['-sf', join(scenarios, `${scenario}.xml`)],
      ...['-t', transport === 'udp' ? 'u1' : 't1', '-i', HOST, '-p', `${port}`],
      ...['-key', 'user', user, '-key', 'domain', DOMAIN, '-au', user, '-ap', PASSWORD, '-auth_uri', DOMAIN],
      ...['-m', `${calls}`, '-r', `${calls}`, '-nostdin', '-timeout', `${TIMEOUT_SECONDS}`, '-timeout_error'],
      ...['-trace_err', '-error_file', files.errors, '-trace_msg', '-message_file', files.messages],
      ...['-trace_logs', '-log_file', files.log, ...more],
    ],
    { cwd: own, stdio: 'ignore' },
  )
  const done = once(child, 'exit').then(([code, signal]) => {
    if (code === 0) return null
    const said = [files.errors, files.messages]
      .filter(existsSync)
      .map((file) => readFileSync(file, 'utf8').slice(-3000))
    return `sipp ended with ${signal ?? code}\n${said.join('\n')}`
  })
  return { child, done, log: files.log }
}

/** Starts SIPp as a user who is online and answers what comes; resolves when the user is registered. */
const startOnline = async (folder, server, transport, answers) => {
  const more = ['-oocsf', join(scenarios, `${answers}.xml`)]
  const online = await start(folder, server, { transport, user: 'bob', scenario: 'online', calls: 1, more })
  const deadline = performance.now() + REGISTERED_WITHIN_MS
  while (performance.now() < deadline && online.child.exitCode === null) {
    if (existsSync(online.log) && readFileSync(online.log, 'utf8').includes('registered')) return online
    await sleep(20)
  }
  online.child.kill()
  throw new Error(`bob could not be registered: ${await online.done}`)
}

const cases = ['udp', 'tcp'].flatMap((transport) => [
  {
    name: `REGISTER over ${transport}`,
    async run(folder, server) {
      return (await start(folder, server, { transport, user: 'alice', scenario: 'register', calls: 1 })).done
    },
  },
  ...['message', 'invite'].map((scenario) => ({
    name: `${scenario.toUpperCase()} over ${transport}`,
    async run(folder, server) {
      const online = await startOnline(folder, server, transport, `${scenario}-answered`)
      const more = ['-s', 'bob']
      const calling = await start(folder, server, { transport, user: 'alice', scenario, calls: CALLS, more })
      const failures = await Promise.all([calling.done, online.done])
      return failures.filter((failure) => failure !== null).join('\n') || null
    },
  })),
])

if (spawnSync('sipp', ['-v']).error !== undefined) {
  console.log('skipped: there is no SIPp here. Remedy: apt-get install sip-tester (Debian), and run this again.')
  process.exit(0)
}

/** Runs every case against one server, and says how each ended. @returns how many failed */
const runCases = async () => {
  const port = await freePort()
  const server = await startServer((dataDir) => ({
    data_dir: dataDir,
    listen: [{ url: `sip://${HOST}:${port}` }],
    domains: [DOMAIN],
    // SIPp of Debian knows no other.
    auth: { algorithms: ['MD5'], users: ['alice', 'bob'].map((username) => ({ username, password: PASSWORD })) },
    admin: { listen: `${HOST}:0` },
    log: { level: 'warn' },
  }))
  const folder = mkdtempSync(join(tmpdir(), 'silopath-sipp-'))
  let failed = 0
  try {
    for (const { name, run } of cases) {
      const failure = await run(folder, { port }).catch((error) => error.message)
      if (failure !== null) failed++
      console.log(failure === null ? `passed: ${name}` : `FAILED: ${name}\n${failure}`)
    }
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  return failed
}

try {
  const failed = await runCases()
  console.log(failed === 0 ? `${cases.length} passed` : `${failed} of ${cases.length} failed`)
  process.exitCode = failed === 0 ? 0 : 1
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
