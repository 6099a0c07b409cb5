import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Command, CommanderError } from 'commander'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addSiloCommands } from '../../src/cli/silo-commands.ts'
import { systemClock } from '../../src/clock.ts'
import { SilopathError } from '../../src/errors.ts'
import { bobsMessage, kill, put, SiloAdminServer } from '../support/silo-admin.ts'
import { type Finished, silopath } from './support.ts'

let server: SiloAdminServer
let folder: string
beforeEach(async () => {
  server = new SiloAdminServer()
  await server.start()
  folder = await mkdtemp(join(tmpdir(), 'silopath-silo-'))
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

/** Runs a command in this process, as main.ts does in its own; names of files are those of the folder. */
async function run(...args: string[]): Promise<Finished> {
  let stdout = ''
  let stderr = ''
  const output = new PassThrough().setEncoding('utf8').on('data', (text) => void (stdout += text))
  const program = new Command('silopath')
    .exitOverride()
    .configureOutput({ writeOut: (text) => void (stdout += text), writeErr: (text) => void (stderr += text) })
  addSiloCommands(program, {
    stdin: (async function* () {})(),
    stdout: output,
    clock: systemClock,
    tell: (text) => void (stderr += text),
    wait: async () => {},
  })
  let code = 0
  try {
    await program.parseAsync(['silo', ...args], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) code = error.exitCode === 0 ? 0 : 2
    else if (error instanceof SilopathError) {
      code = 1
      stderr += `silopath: ${error.message}\n`
    } else throw error
  }
  return { code, stdout, stderr: stderr.replaceAll(`${folder}/`, '') }
}
const silo = (...args: string[]) => run(...args, '--admin', server.url)
const at = (file: string) => join(folder, file)

const done = (stdout: string) => ({ code: 0, stdout, stderr: '' })
const waiting = () => server.store.list({ owner: null, dead: false, after: null, limit: 999 })

describe('silopath silo', () => {
  test.each([
    [[], 'Usage: silopath silo'],
    [['dump'], "error: unknown command 'dump'"],
    [['show'], "error: missing required argument 'id'"],
    [['show', 'x'], 'Expected a whole number.'],
    [['delete', '1', '-2'], "error: command-argument value '-2' is invalid for argument 'id'."],
    [['list', '--limit', 'all'], 'Expected a whole number.'],
    [['purge'], 'error: say what to remove: --owner <address>, --dead or --expired'],
    [['purge', '--expired', '--dead'], "option '--expired' cannot be used with option '--dead'"],
    [['export', '--format', 'xml'], 'Allowed choices are csv, json, sql, pgsql.'],
    [['export', '--output', 'silo.dat'], 'error: silo.dat: give its --format, its name does not tell'],
    [['import', '-'], 'error: -: give its --format, its name does not tell'],
    [['list', '--admin', 'ftp://x'], 'Expected a URL such as http://127.0.0.1:9095.'],
  ])('%j is wrong usage', async (args, error) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(error)
  })

  test.each(['list', 'show', 'delete', 'resend', 'purge', 'export', 'import'])(
    '%s --help shows an example',
    async (name) => {
      const { code, stdout } = await run(name, '--help')
      expect(code).toBe(0)
      expect(stdout).toMatch(new RegExp(`Examples?:\\n(?:  .*\\n)*  \\$ silopath silo ${name}`))
    },
  )

  test('list: a table without bodies; --json is what the API answers', async () => {
    await put(server.store)
    await put(server.store, { owner: 'sip:carol@example.org', srcAddr: 'sip:a@b', sndTime: Date.UTC(2026, 5, 1) })
    expect(await silo('list')).toEqual(
      done(`\
ID  OWNER                  FROM                   TYPE        OCTETS  STORED                EXPIRES               STATUS
 1  sip:bob@example.org    sip:alice@example.org  text/plain       9  2026-01-01T00:00:00Z  2999-01-01T00:00:00Z  queued
 2  sip:carol@example.org  sip:a@b                text/plain       9  2026-01-01T00:00:00Z  2999-01-01T00:00:00Z  reminder of 2026-06-01T00:00:00Z
`),
    )
    const { stdout } = await silo('list', '--owner', 'carol@example.org', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ messages: [{ id: 2, octets: 9 }], next: null })
  })

  test('list: dead letters with their reason; pages; nothing', async () => {
    for (let n = 0; n < 3; n += 1) await put(server.store)
    await kill(server.store, bobsMessage.owner, '415 from\u001b[2J all')
    expect((await silo('list', '--dead')).stdout).toContain('failed: 415 from [2J all\n')
    const { stdout } = await silo('list', '--limit', '1')
    expect(stdout).toMatch(/\n 2 .*\nThere are more: --after 2 shows them\.\n$/)
    expect((await silo('list', '--after', '2')).stdout).toMatch(/^ID.*\n 3 .*\n$/)
    expect(await silo('list', '--owner', 'nobody@example.org')).toEqual(done('no messages\n'))
  })

  test('show: the message with its body, without what drives a terminal; --json has all of it', async () => {
    await put(server.store, { extraHeaders: 'X: 1\r\nY: 2\r\n', body: Buffer.from('one\r\ntwo\u001b[2J') })
    expect(await silo('show', '1')).toEqual(
      done(`\
id: 1
owner: sip:bob@example.org
from: sip:alice@example.org
to: sip:bob@example.org
stored: 2026-01-01T00:00:00.000Z
expires: 2999-01-01T00:00:00.000Z
status: queued
Message-ID: abcdefghijklmnopqrstuv
type: text/plain
header: X: 1
header: Y: 2

one
two [2J
`),
    )
    await put(server.store, { body: Buffer.from([0xff]) })
    expect((await silo('show', '2')).stdout).toMatch(/\n\(1 octets that are no text: --json has them in base64\)\n$/)
    expect(JSON.parse((await silo('show', '2', '--json')).stdout).body).toEqual({ base64: '/w==' })
  })

  test('delete and resend: one after the other, up to one that is not there', async () => {
    for (let n = 0; n < 3; n += 1) await put(server.store)
    expect(await silo('delete', '1', '9', '2')).toEqual({
      code: 1,
      stdout: 'deleted 1\n',
      stderr: `silopath: ${server.url}/api/silo/messages/9: there is no message 9\n`,
    })
    expect(waiting().map(({ id }) => id)).toEqual([2, 3])
    expect(await silo('resend', '2', '3')).toEqual(done('queued 2\nqueued 3\n'))
    expect(server.resent).toEqual([2, 3])
  })

  test('purge: what has been named', async () => {
    for (let n = 0; n < 3; n += 1) await put(server.store)
    await put(server.store, { owner: 'sip:carol@example.org' })
    await kill(server.store, bobsMessage.owner, 'refused')
    expect(await silo('purge', '--dead')).toEqual(done('removed 1 messages\n'))
    expect(await silo('purge', '--owner', 'bob@example.org')).toEqual(done('removed 2 messages\n'))
    expect(await silo('purge', '--expired')).toEqual(done('removed 0 messages\n'))
    expect(waiting()).toHaveLength(1)
  })

  test('says when the server stores nothing, has another version, or is not there', async () => {
    await server.close()
    const { code, stderr } = await silo('list')
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^silopath: .*\/api\/silo\/messages\?limit=100 does not answer: .*ECONNREFUSED.* Remedy: /),
    ])
    server = new SiloAdminServer()
    await server.start(null)
    expect(await silo('list')).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `silopath: ${server.url}/api/silo/messages: it answers 404: it stores no messages (silo.enabled), ` +
        'or is of another version\n',
    })
  })
})

describe('silopath silo export and import', () => {
  const fill = async () => {
    await put(server.store, { extraHeaders: 'X: "1"\r\n', callId: 'c@h' })
    await put(server.store, {
      body: Buffer.from([0xff, 0, 0x0a]),
      contentType: 'message/cpim;charset="x"',
      sndTime: 5_000,
    })
    await put(server.store, { owner: 'sip:carol "x"@example.org', incTime: Date.UTC(2026, 1, 1, 0, 0, 1) })
  }

  test.each(['csv', 'json', 'sql', 'pgsql'])('%s brings all messages into another server (SILO-51)', async (format) => {
    await fill()
    const { code, stderr } = await silo('export', '--output', at('silo.dump'), '--format', format)
    expect([code, stderr]).toEqual([
      0,
      'exp_time: 3 rows have more than the table has room for, and are written whole\nexported 3 messages\n',
    ])
    expect(await readdir(folder)).toEqual(['silo.dump'])
    expect((await stat(at('silo.dump'))).mode & 0o777).toBe(0o600)
    const messages = () => waiting().map(({ message }) => ({ ...message, messageId: '' }))
    const before = messages()
    await silo('purge', '--owner', 'bob@example.org')
    await silo('purge', '--owner', 'sip:carol "x"@example.org')
    expect(waiting()).toEqual([])
    expect(await silo('import', at('silo.dump'), '--format', format)).toEqual(done('3 rows: 3 stored\n'))
    const ofOwner = (owner: string) => messages().filter((message) => message.owner === owner)
    expect([...ofOwner('sip:bob@example.org'), ...ofOwner('sip:carol "x"@example.org')]).toEqual(before)
    expect(waiting().map(({ id }) => id)).toEqual([4, 5, 6])
  })

  test('export goes to stdout, of one owner, under names of columns that are given (SILO-50)', async () => {
    await fill()
    const { stdout, stderr } = await silo(
      'export',
      '--owner',
      'bob@example.org',
      '--sc-body',
      'text',
      '--sc-mid',
      'mid',
    )
    expect(stdout).toMatch(/^mid,src_addr,.*,ctype,text,extra_hdrs,callid,status\r\n1,/)
    expect(stderr).toContain('exported 2 messages\n')
    const sql = (await silo('export', '--format', 'sql', '--db-table', 'old', '--sc-mid', 'mid')).stdout
    expect(sql).toContain('INSERT INTO `old` (`mid`, `src_addr`')
    expect((await silo('export', '--format', 'sql')).stdout).toContain('INSERT INTO `silo` (`src_addr`')
  })

  test('export of dead letters has status 3, and an import leaves those out (K-30)', async () => {
    await put(server.store)
    await kill(server.store, bobsMessage.owner, 'refused')
    expect((await silo('export', '--dead', '-o', at('dead.csv'))).code).toBe(0)
    expect(await readFile(at('dead.csv'), 'utf8')).toMatch(/,3\r\n$/)
    expect(await silo('import', at('dead.csv'))).toEqual(done('1 rows: 0 stored, 1 failed\n'))
  })

  test('an export that breaks off leaves no file, and the one that was there', async () => {
    for (let n = 0; n < 60; n += 1) await put(server.store)
    await writeFile(at('silo.csv'), 'as it was')
    const list = server.store.list.bind(server.store)
    server.store.list = (listing) => {
      if (listing.after !== null) throw new Error('cannot be read')
      return list(listing)
    }
    const { code, stderr } = await silo('export', '-o', at('silo.csv'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^silopath: .*api\/silo\/export does not answer: .* Remedy: /)
    expect(await readdir(folder)).toEqual(['silo.csv'])
    expect(await readFile(at('silo.csv'), 'utf8')).toBe('as it was')
  })

  test('an export to where nothing can be written says so', async () => {
    const { code, stderr } = await silo('export', '-o', at('nowhere/silo.csv'))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^silopath: nowhere\/silo\.csv cannot be written: ENOENT/)
  })

  const header = 'id,src_addr,dst_addr,username,domain,inc_time,exp_time,color,body\n'
  const row = (change: { exp?: string; user?: string; body?: string } = {}) =>
    `1,sip:a@b,sip:c@d,${change.user ?? 'c'},d,1,${change.exp ?? '32000000000'},red,${change.body ?? 'hi'}\n`

  test('import tells what it leaves out with its line, and fails when somebody has to look into it', async () => {
    await writeFile(at('silo.csv'), header + row() + row({ exp: '5' }) + row({ exp: 'x' }) + row({ user: '' }))
    const unknown = 'column "color" is none of the silo\'s and is passed over; --sc-… names columns\n'
    const problems =
      'silo.csv:4:1: not imported: exp_time is no whole number, or too large\n' +
      'silo.csv:5:1: not imported: username and domain make no SIP URI with a user (SILO-3)\n'
    const failed = 'silopath: 2 rows could not be imported, see above\n'
    const dry = await silo('import', at('silo.csv'), '--dry-run')
    expect(dry).toEqual({
      code: 1,
      stdout: '4 rows: 1 would be stored, 1 expired, 2 malformed\n',
      stderr: unknown + problems + failed,
    })
    expect(waiting()).toEqual([])
    const { code, stdout, stderr } = await silo('import', at('silo.csv'))
    expect([code, stdout]).toEqual([1, '4 rows: 1 stored, 1 expired, 2 malformed\n'])
    expect(stderr.split('\n').sort()).toEqual((unknown + problems + failed).split('\n').sort())
    expect(waiting()).toHaveLength(1)
  })

  test('a file with a mistake in it changes nothing', async () => {
    await writeFile(at('silo.csv'), `${header}${row()}${row()}"1`)
    const { code, stdout, stderr } = await silo('import', at('silo.csv'))
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('silopath: silo.csv:4:1: this quotation mark is never closed\n')
    expect(waiting()).toEqual([])
  })

  test('a file that is not there says so', async () => {
    const { code, stderr } = await silo('import', at('silo.csv'))
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^silopath: silo\.csv cannot be read: ENOENT/)])
  })

  test('a row that is imported twice is marked as a repeat; rows without an id are told apart (SILO-31)', async () => {
    const idless = `${header}${row()}${row()}`.replace('id,', '').replaceAll('\n1,', '\n')
    await writeFile(at('silo.csv'), idless)
    await silo('import', at('silo.csv'))
    await silo('import', at('silo.csv'))
    const [first, second, firstAgain, secondAgain] = waiting().map(({ message }) => message.messageId)
    expect([firstAgain, secondAgain]).toEqual([first, second])
    expect(first).not.toBe(second)
  })

  test('db_url: files only, and no word of the password in it (SILO-50)', async () => {
    for (const asked of [['import', 'x.sql'], ['export']]) {
      const { code, stderr } = await silo(...asked, '--db-url', 'mysql://kamailio:rosebud@localhost/kamailio')
      expect([code, stderr]).toEqual([2, expect.stringContaining('Dump its table to a file and import that')])
      expect(stderr).not.toContain('rosebud')
    }
  })

  test('SQL: the rows of the table that is named (SILO-50)', async () => {
    const into = (table: string) =>
      `INSERT INTO ${table} (src_addr,dst_addr,username,domain,inc_time,exp_time,text) VALUES ('sip:a@b','sip:c@d','c','d',1,32000000000,'${table}');\n`
    await writeFile(at('all.sql'), into('silo') + into('old_silo'))
    const { stdout } = await silo('import', at('all.sql'), '--db-table', 'old_silo', '--sc-body', 'text')
    expect(stdout).toBe('1 rows: 1 stored\n')
    expect(waiting().map(({ message }) => Buffer.from(message.body).toString())).toEqual(['old_silo'])
  })
})

describe('silopath silo, as a process', () => {
  const child = (...args: string[]) => silopath(['silo', ...args, '--admin', server.url], folder)

  test('answers on stdout, and ends', async () => {
    await put(server.store)
    const listed = await child('list')
    expect(listed).toEqual(done(expect.stringMatching(/^ID .*\n 1 .*\n$/) as unknown as string))
    expect((await child('export')).stdout).toMatch(/^id,.*\r\n1,.*\r\n$/)
  })

  test('ends with 1 when something is left to do, and with 2 for wrong usage', async () => {
    await writeFile(at('silo.csv'), 'id\n')
    const failed = await child('import', 'silo.csv')
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringContaining('silopath: silo.csv:1:1: ')])
    expect((await child('purge')).code).toBe(2)
  })
})
