import { demoConfig } from '../config/demo.ts'
import { configError, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { createLogger, type LogFormat, type Logger } from '../log.ts'
import { startServer } from '../server.ts'

/**
 * Runs the server until it is told to stop or fails. `configPath` undefined runs the demo; `logFormat` comes before the
 * config's log.format. Throws `SilopathError` for what the operator can mend.
 */
export async function run(configPath: string | undefined, logFormat: LogFormat | undefined): Promise<void> {
  const config = configPath === undefined ? announcedDemo() : await configFrom(configPath)
  const format = logFormat ?? config.log.format
  const log = createLogger(config.log.level, format)
  const stop = stopSignal(log)
  const server = await startServer(config, { log })
  const listeners = server.listeners.map(({ url }) => url)
  process.stdout.write(`${readyLine(listeners, server.adminUrl, format)}\n`)
  const signal = await Promise.race([stop, server.closed])
  if (signal) await server.close()
  await server.closed
}

async function configFrom(path: string): Promise<Config> {
  const loaded = await loadConfig(path)
  if (!loaded.ok) throw configError(loaded.error)
  return loaded.value
}

/** The demo's passwords are printed, as nobody else knows them; they open a loopback listener only. */
function announcedDemo(): Config {
  const { config, users } = demoConfig()
  const logins = users.map(({ username, password }) => `  ${username.padEnd(8)}${password}\n`).join('')
  process.stderr.write(
    `silopath: no config file, so this is a demo: reachable from this machine only. Users and passwords of this run:
${logins}Next: copy examples/relay.yaml, adapt it, and start with --config FILE.\n`,
  )
  return config
}

/** The one line on stdout that says every listener accepts: `ready msrp://127.0.0.1:2855 admin http://127.0.0.1:9095`. */
function readyLine(listeners: readonly string[], admin: string | null, format: LogFormat): string {
  if (format === 'json') return JSON.stringify({ event: 'ready', listeners, admin })
  return ['ready', ...listeners, ...(admin === null ? [] : ['admin', admin])].join(' ')
}

/** Waits for the signal to close. Installed before the start, so that a signal in the middle of it is not lost. */
function stopSignal(log: Logger): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>()
  let stopping = false
  const onStop = (signal: NodeJS.Signals) => {
    if (stopping) {
      log.warn({ signal }, 'second signal: ending at once')
      process.exit(1)
    }
    stopping = true
    log.info({ signal }, 'closing; a second signal ends at once')
    resolve(signal)
  }
  process.on('SIGTERM', onStop)
  process.on('SIGINT', onStop)
  process.on('SIGHUP', (signal) => {
    log.warn({ signal }, 'ignored: the config is read at the start, restart to apply changes')
  })
  return promise
}
