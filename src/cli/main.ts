#!/usr/bin/env -S node --max-semi-space-size=4 --no-parallel-scavenge --no-maglev-destroy-on-background
// What thousands of connections leave behind as they come, for as long as they are idle, is taken twice over by V8's
// defaults. Little is allocated for long, so a small young generation costs nothing (lanes that serve SIP get a larger one,
// see workers/pool.ts); each thread collects it alone, as the other cores have lanes of their own to run; and what a
// compilation has taken is freed by the thread that runs the code. `npm start` gives the same flags.
import { Command, CommanderError, Option } from 'commander'
import { SilopathError } from '../errors.ts'
import type { LogFormat } from '../log.ts'
import { version } from '../version.ts'
import { adminOption } from './admin-option.ts'
import { addSiloCommands } from './silo-commands.ts'
import { surroundings } from './surroundings.ts'

/** The command line. Its commands fail by throwing: `SilopathError` and `CommanderError` are for the operator. */
function commandLine(): Command {
  const program = new Command('silopath')
    .description('MSRP relay, SIP registrar and proxy, and silo for offline messages')
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
  $ silopath sessions
  $ silopath silo list`,
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
    .description('check a config file and the files it names; prints every problem with its line and column')
    .argument('<file>', 'YAML config file')
    .addHelpText(
      'after',
      `
Example:
  $ silopath check-config relay.yaml`,
    )
    .action(async (file: string) => {
      const { checkConfig } = await import('./check-config.ts')
      process.stderr.write(await checkConfig(file))
      process.stdout.write(`${file}: ok\n`)
    })

  program
    .command('sessions')
    .description('list the sessions of a running relay')
    .addOption(adminOption())
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

  addSiloCommands(program, surroundings)
  return program
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
