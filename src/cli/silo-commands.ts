// `silopath silo …`. What the commands do is imported by those that are called.
import { extname } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { SilopathError } from '../errors.ts'
import type { GivenNames } from '../silo/table/column-names.ts'
import type { TableFormat } from '../silo/table/formats.ts'
import { columnParameters } from '../silo/table.ts'
import { adminOption } from './admin-option.ts'
import type { ListOptions, PurgeOptions } from './silo.ts'
import type { Surroundings } from './surroundings.ts'

/** What commander makes of the options. */
interface Asked {
  readonly admin: URL
}
interface TableAsked extends Asked {
  readonly format?: TableFormat
  readonly dbTable: string
}
interface ExportAsked extends TableAsked {
  readonly owner?: string
  readonly dead?: true
  readonly output?: string
}
interface ImportAsked extends TableAsked {
  readonly skip: number
  readonly dryRun?: true
}

export function addSiloCommands(program: Command, around: Surroundings): void {
  const print = (text: string) => void around.stdout.write(text)
  const silo = program
    .command('silo')
    .description('look after messages stored for users who are away')
    .helpCommand(false)
    .addHelpText(
      'after',
      `
Each command asks a running server. Those that change something do so at once.

Examples:
  $ silopath silo list --owner bob@example.org
  $ silopath silo export --output silo.csv
  $ silopath silo import --help`,
    )
  const command = (name: string, description: string, help: string) =>
    silo.command(name).description(description).addOption(adminOption()).addHelpText('after', `\n${help}`)
  const ownerOption = () => new Option('--owner <address>', 'messages for this user only')

  command(
    'list',
    'list messages, without their bodies',
    `Examples:
  $ silopath silo list
  $ silopath silo list --owner bob@example.org --json
  $ silopath silo list --dead --limit 1000`,
  )
    .addOption(ownerOption())
    .option('--dead', 'dead letters: what nobody took')
    .option('--after <id>', 'messages with larger ids', wholeNumber)
    .option('--limit <number>', 'at most so many, up to 1000', wholeNumber, 100)
    .option('--json', 'print JSON instead of a table')
    .action(async ({ admin, json, ...options }: Asked & ListOptions & { json?: true }) => {
      const { listMessages } = await import('./silo.ts')
      print(await listMessages(admin, options, json ? 'json' : 'table'))
    })

  command(
    'show',
    'show a message with its body',
    `Example:
  $ silopath silo show 1042`,
  )
    .argument('<id>', 'as `list` has it', wholeNumber)
    .option('--json', 'print JSON')
    .action(async (id: number, { admin, json }: Asked & { json?: true }) => {
      const { showMessage } = await import('./silo.ts')
      print(await showMessage(admin, id, json ? 'json' : 'text'))
    })

  command(
    'delete',
    'remove messages',
    `Example:
  $ silopath silo delete 1042 1043`,
  )
    .argument('<id...>', 'as `list` has them', wholeNumbers)
    .action(async (ids: number[], { admin }: Asked) => {
      const { deleteMessages } = await import('./silo.ts')
      await deleteMessages(admin, ids, print)
    })

  command(
    'resend',
    'deliver messages again now, dead letters too; who is away gets them when back',
    `Example:
  $ silopath silo resend 1042`,
  )
    .argument('<id...>', 'as `list` has them', wholeNumbers)
    .action(async (ids: number[], { admin }: Asked) => {
      const { resendMessages } = await import('./silo.ts')
      await resendMessages(admin, ids, print)
    })

  command(
    'purge',
    'remove all messages of a user, all dead letters, or what has expired',
    `Examples:
  $ silopath silo purge --owner bob@example.org
  $ silopath silo purge --dead
  $ silopath silo purge --expired`,
  )
    .addOption(ownerOption())
    .option('--dead', 'dead letters only')
    .addOption(new Option('--expired', 'what has expired').conflicts(['owner', 'dead']))
    .action(async ({ admin, ...what }: Asked & PurgeOptions, purge: Command) => {
      if (what.owner === undefined && !what.dead && !what.expired)
        purge.error('error: say what to remove: --owner <address>, --dead or --expired')
      const { purgeMessages } = await import('./silo.ts')
      print(await purgeMessages(admin, what))
    })

  const exportCommand = command(
    'export',
    "write messages in the layout of Kamailio's table silo, version 8",
    `Bodies are written as they are: octets in CSV, base64 in JSON where they are no text, hexadecimal in SQL. SQL has no ids,
which the table gives out itself, unless --sc-mid names their column.

Examples:
  $ silopath silo export > silo.csv
  $ silopath silo export --output silo.sql --db-table silo
  $ silopath silo export --format json --owner bob@example.org`,
  )
    .addOption(ownerOption())
    .option('--dead', 'dead letters instead of messages that wait')
    .option('-o, --output <file>', 'write to this file (default: stdout)')
    .addOption(formatOption('csv'))
  addTableOptions(exportCommand).action(async (options: ExportAsked, command: Command) => {
    const { exportTable } = await import('./silo-export.ts')
    const { ColumnNames } = await import('../silo/table/column-names.ts')
    const output: string | null = options.output ?? null
    const format = options.format ?? (output === null ? 'csv' : formatOf(output, command))
    const names = namesOf(options)
    await exportTable(
      options.admin,
      {
        owner: options.owner ?? null,
        dead: options.dead ?? false,
        layout: { format, names: new ColumnNames(names), table: options.dbTable },
        withId: names.sc_mid !== undefined,
        output,
      },
      around,
    )
  })

  const importCommand = command(
    'import',
    "store messages from the layout of Kamailio's table silo: CSV, JSON, or SQL such as mysqldump's",
    `Messages get new ids and keep their order. What has expired, was delivered (status 2) or has failed for good (status 3)
is counted and left out. Whatever else cannot be stored is told with its line, and the exit code is 1.
A row that is imported twice is delivered twice, with the same Message-ID.

Examples:
  $ mysqldump --hex-blob kamailio silo > silo.sql
  $ silopath silo import silo.sql --dry-run
  $ silopath silo import silo.sql
  $ silopath silo import messages.csv --sc-ctype content_type`,
  )
    .argument('<file>', '- for stdin')
    .addOption(formatOption('what the name of the file ends in'))
    .option('--skip <number>', 'rows at the beginning to pass over: an earlier import has stored them', wholeNumber, 0)
    .option('--dry-run', 'store nothing, say what would come of it')
  addTableOptions(importCommand).action(async (file: string, options: ImportAsked, command: Command) => {
    const { importTable } = await import('./silo-import.ts')
    const { ColumnNames } = await import('../silo/table/column-names.ts')
    const format = options.format ?? formatOf(file, command)
    const passedOver = new Set<string>()
    const names = new ColumnNames(namesOf(options), (name) => {
      if (passedOver.has(name) || passedOver.size >= passedOverMax) return
      passedOver.add(name)
      around.tell(`column ${JSON.stringify(name)} is none of the silo's and is passed over; --sc-… names columns\n`)
    })
    const layout = { format, names, table: options.dbTable }
    const { skip, dryRun = false } = options
    const { summary, refused } = await importTable(options.admin, { file, layout, skip, dryRun }, around)
    print(summary)
    if (refused > 0) throw new SilopathError('IMPORT_INCOMPLETE', `${refused} rows could not be imported, see above`)
  })
}

/** Names of unknown columns that are told. */
const passedOverMax = 20

const formats: Readonly<Record<string, TableFormat>> = {
  '.csv': 'csv',
  '.json': 'json',
  '.jsonl': 'json',
  '.ndjson': 'json',
  '.sql': 'sql',
}

function formatOption(otherwise: string): Option {
  return new Option('--format <format>', `sql: MySQL, MariaDB; pgsql: PostgreSQL (default: ${otherwise})`).choices([
    'csv',
    'json',
    'sql',
    'pgsql',
  ] satisfies TableFormat[])
}

function formatOf(file: string, command: Command): TableFormat {
  const format = formats[extname(file).toLowerCase()]
  return format ?? command.error(`error: ${file}: give its --format, its name does not tell`)
}

/** `--db-url`, `--db-table` and the names of columns (SILO-50). */
function addTableOptions(command: Command): Command {
  command.option('--db-url <url>', 'URL of a database: not in this version, files only')
  // The URL is not repeated: there may be a password in it.
  command.hook('preAction', (asked) => {
    if (asked.opts()['dbUrl'] !== undefined) command.error(noDatabase)
  })
  command.option('--db-table <name>', 'name of the table, in SQL', 'silo')
  for (const [parameter, column] of Object.entries(columnParameters))
    command.option(`--${parameter.replaceAll('_', '-')} <name>`, `column ${column} (${parameter})`)
  return command
}

const noDatabase =
  'error: --db-url: no database is connected to yet. Dump its table to a file and import that, or export to a file and load it.'

/** Of `--sc-uri-user` and the others, which commander calls `scUriUser`. */
function namesOf(asked: TableAsked): GivenNames {
  const options = asked as TableAsked & Readonly<Record<string, unknown>>
  const names: Record<string, string> = {}
  for (const parameter of Object.keys(columnParameters)) {
    const name = options[parameter.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())]
    if (typeof name === 'string') names[parameter] = name
  }
  return names
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.')
  return Number(text)
}

function wholeNumbers(text: string, earlier: readonly number[] = []): number[] {
  return [...earlier, wholeNumber(text)]
}
