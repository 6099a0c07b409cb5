#!/usr/bin/env -S node --max-semi-space-size=4
// Little is allocated for long, so a small young generation costs nothing; the default lets garbage of connections that
// come take twice the memory of the connections. `npm start` gives the same flag.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { configError, loadConfig } from '../config/load.ts'
import { SilopathError } from '../errors.ts'
import type { LogFormat } from '../log.ts'
import { version } from '../version.ts'

/** The command line. Its commands fail by throwing: `SilopathError` and `CommanderError` are for the operator. */
function commandLine(): Command {
  const program = new Command('silopath')
    .description('MSRP relay (RFC 4975, RFC 4976)')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    // Before the commands are added: they inherit it. Wrong usage is thrown then, instead of ending the process.
    .exitOverride()
    .addHelpText(
      'after',
      `
Exit codes: 0 done, 1 failed, 2 wrong usage or bad config.

Examples:
  $ silopath run                         try it: a loopback listener and two demo users
  $ silopath check-config relay.yaml
  $ silopath run --config relay.yaml
  $ silopath sessions`,
    )

  program
    .command('run')
    .description('run the relay; prints one line, `ready ...`, on stdout when every listener accepts')
    .option('-c, --config <file>', 'YAML config file; without it, a demo on the loopback address')
    .addOption(
      new Option(
        '--log-format <format>',
        'form of the ready line and of the log on stderr (default: log.format)',
      ).choices(['text', 'json']),
    )
    .addHelpText(
      'after',
      `
The first SIGTERM or SIGINT closes gracefully, a second one ends the process at once.

Examples:
  $ silopath run
  $ silopath run --config /etc/silopath/relay.yaml --log-format json`,
    )
    .action(async (options: { config?: string; logFormat?: LogFormat }) => {
      // Imported here: only this command needs the server, its worker threads and its kernel.
      const { run } = await import('./run.ts')
      await run(options.config, options.logFormat)
    })

  program
    .command('check-config')
    .description('check a config file; prints every problem with its line and column')
    .argument('<file>', 'YAML config file')
    .addHelpText(
      'after',
      `
Example:
  $ silopath check-config relay.yaml`,
    )
    .action(async (file: string) => {
      const loaded = await loadConfig(file)
      if (!loaded.ok) throw configError(loaded.error)
      process.stdout.write(`${file}: ok\n`)
    })

  program
    .command('sessions')
    .description('list the sessions of a running relay')
    .option('--admin <url>', 'its admin server (admin.listen)', adminUrl, new URL('http://127.0.0.1:9095'))
    .option('--json', 'print JSON instead of a table')
    .addHelpText(
      'after',
      `
Examples:
  $ silopath sessions
  $ silopath sessions --admin http://127.0.0.1:9195 --json`,
    )
    .action(async ({ admin, json }: { admin: URL; json?: true }) => {
      const { sessions } = await import('./sessions.ts')
      process.stdout.write(await sessions(admin, json ? 'json' : 'table'))
    })

  return program
}

function adminUrl(text: string): URL {
  const url = URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new InvalidArgumentError('Expected a URL such as http://127.0.0.1:9095.')
  return url
}

/** 0: done; 1: failed; 2: wrong usage or bad config. Anything but the operator's errors is a bug and keeps its stack. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (!(error instanceof SilopathError)) throw error
  process.stderr.write(`silopath: ${error.message}\n`)
  return error.code === 'CONFIG_INVALID' ? 2 : 1
}

// `silopath sessions | head`: a reader that has seen enough is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  await commandLine().parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
}
