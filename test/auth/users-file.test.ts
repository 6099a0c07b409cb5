import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { unavailable, unknown } from '../../src/auth/credentials.ts'
import { POLL_MS, UsersFile } from '../../src/auth/users-file.ts'
import { readUsersFile, usersFileOctetsMax } from '../../src/config/auth-files.ts'
import { usersMax } from '../../src/config/auth-keys.ts'
import { formatProblems } from '../../src/config/load.ts'
import { FakeTicker } from '../support/fake-ticker.ts'
import { eventually } from '../support/relay.ts'
import { keptLog } from './http-server.ts'

const algorithms = ['SHA-256', 'MD5'] as const

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'silopath-users-'))
  path = join(folder, 'users.jsonl')
})
afterEach(() => rm(folder, { recursive: true }))

/** Puts a file in place at once: nobody can see half of it. */
async function replace(text: string): Promise<void> {
  await writeFile(join(folder, 'new'), text)
  await rename(join(folder, 'new'), path)
}

const line = (username: string, password = 'secret') => `${JSON.stringify({ username, password })}\n`

describe('a users file', () => {
  const problemsOf = async (text: string | Uint8Array) => {
    await writeFile(path, text)
    const read = await readUsersFile(path, algorithms)
    return read.ok ? [] : formatProblems(read.error).replaceAll(path, 'users').split('\n')
  }

  it('holds a user a line, beside comments and empty lines, with hashes in small letters (D-14)', async () => {
    const text = `\ufeff# the users\r\n${line('alice')}\n  \n{ "username": "bob", "ha1_md5": "${'AB'.repeat(16)}" }`
    await writeFile(path, text)
    expect(await readUsersFile(path, algorithms)).toEqual({
      ok: true,
      value: [
        { username: 'alice', password: 'secret' },
        { username: 'bob', ha1_md5: 'ab'.repeat(16) },
      ],
    })
    expect(await problemsOf('')).toEqual([])
  })

  it.each<[what: string, text: string, problem: string]>([
    ['no JSON', `${line('a')}{ "username": "b" x }`, 'users:2:19: not readable as JSON, expected one object a line'],
    ['an unfinished line', '{ "username": "b"', 'users:1:18: not readable as JSON, expected one object a line'],
    ['no object', '["alice"]', 'users:1:1: expected an object'],
    [
      'an unknown key',
      '{ "username": "a", "pasword": "hunter2" }',
      'users:1:20: unknown key; known here: username, password, ha1_md5, ha1_sha256',
    ],
    [
      'a bad username',
      '{ "password": "hunter2", "username": "a:b" }',
      'users:1:26: username: expected text of 1 to 128 characters without a colon',
    ],
    [
      'no username',
      '{ "password": "hunter2" }',
      'users:1:1: username: expected text of 1 to 128 characters without a colon',
    ],
    [
      'a password that is no text',
      '{ "username": "a", "password": 12345 }',
      'users:1:20: password: expected text (digits alone need quotes)',
    ],
    ['no secret', '{ "username": "a" }', 'users:1:1: expected either password, or ha1_md5 and/or ha1_sha256'],
    [
      'a bad HA1',
      '{ "username": "a", "ha1_md5": "hunter2" }',
      'users:1:20: ha1_md5: expected text of 32 hexadecimal digits',
    ],
    [
      'a user twice',
      `${line('alice')}\n${line('alice', 'hunter2')}`,
      'users:3:2: username: expected each username once (see line 1)',
    ],
  ])('with %s is told by line and column, without the secret (D-14)', async (_, text, problem) => {
    expect(await problemsOf(text)).toEqual([problem])
  })

  it('needs an HA1 of an algorithm that is offered', async () => {
    await writeFile(path, `{ "username": "a", "ha1_md5": "${'ab'.repeat(16)}" }`)
    const read = await readUsersFile(path, ['SHA-256'])
    expect(read).toMatchObject({ error: [{ message: 'expected ha1_sha256, as auth.algorithms asks for' }] })
  })

  it('that is none is told', async () => {
    expect(await problemsOf(Buffer.from([0x7b, 0xff]))).toEqual(['users: the file is not UTF-8'])
    await rm(path)
    const message = async () => {
      const read = await readUsersFile(path, algorithms)
      return read.ok ? null : read.error[0]?.message
    }
    expect(await message()).toBe('auth.users_file: there is no such file')
    await mkdir(path)
    expect(await message()).toBe('auth.users_file is not a regular file')
  })

  it('is bounded in octets, users and problems that are told', async () => {
    expect(await problemsOf(Buffer.alloc(usersFileOctetsMax + 1, 0x20))).toEqual([
      `users: the file is larger than ${usersFileOctetsMax} octets`,
    ])
    expect(await problemsOf('x\n'.repeat(1000))).toHaveLength(20)
    const many = Array.from({ length: usersMax + 1 }, (_, index) => line(`user${index}`, 'p'))
    expect(await problemsOf(many.join(''))).toEqual([`users:${usersMax + 1}:1: expected at most ${usersMax} users`])
    expect(await problemsOf(many.slice(1).join(''))).toEqual([])
  })
})

describe('the source', () => {
  function start() {
    const clock = new FakeTicker()
    const { log, lines } = keptLog()
    const source = new UsersFile({ path, algorithms, log, clock })
    onTestFinished(() => source.close())
    const lookup = (username: string) => source.lookup(username, 'relay.test', 'MD5')
    return { clock, lines, source, lookup }
  }
  const user = (username: string, password = 'secret') => ({ outcome: 'known', username, secrets: [{ password }] })

  it('lets those wait who come before the file is read, and answers at once from then on', async () => {
    await writeFile(path, line('alice'))
    const { lookup } = start()
    const first = lookup('alice')
    expect(first).toBeInstanceOf(Promise)
    expect(await first).toEqual(user('alice'))
    expect(lookup('alice')).toEqual(user('alice'))
    expect(lookup('bob')).toEqual(unknown)
  })

  it('takes over a file that is replaced by renaming, as a whole', async () => {
    await writeFile(path, line('alice'))
    const { lookup } = start()
    await lookup('alice')
    await replace(line('alice', 'changed') + line('bob'))
    await eventually(() => lookup('bob')).toEqual(user('bob'))
    expect(lookup('alice')).toEqual(user('alice', 'changed'))
  })

  it('takes over a file that is written in place', async () => {
    await writeFile(path, line('alice'))
    const { lookup } = start()
    await lookup('alice')
    await appendFile(path, line('bob'))
    await eventually(() => lookup('bob')).toEqual(user('bob'))
  })

  it('keeps its users when the file gets bad or goes, and says so without secrets', async () => {
    await writeFile(path, line('alice'))
    const { lookup, lines } = start()
    await lookup('alice')
    await replace(`${line('alice', 'changed')}{ "username": "bob", "password": "hunter2" x }\n`)
    await eventually(() => lines.filter((one) => one.includes('"error"')).length).toBe(1)
    expect(lines.at(-1)).toContain(`${path}:2:44: not readable as JSON`)
    expect(lines.at(-1)).toContain('those read before stay')
    expect(lookup('alice')).toEqual(user('alice'))
    await rm(path)
    await eventually(() => lines.at(-1)).toContain('there is no such file')
    expect(lookup('alice')).toEqual(user('alice'))
    await replace(line('carol'))
    await eventually(() => lookup('carol')).toEqual(user('carol'))
    expect(lookup('alice')).toEqual(unknown)
    expect(lines.join('')).not.toMatch(/hunter2|changed|secret"/)
  })

  it('is unavailable until there has been a good file', async () => {
    await writeFile(path, 'no users')
    const { lookup, lines } = start()
    expect(await lookup('alice')).toEqual(unavailable)
    expect(lookup('alice')).toEqual(unavailable)
    expect(lines.at(-1)).toContain('there are none yet')
    await writeFile(path, line('alice'))
    await eventually(() => lookup('alice')).toEqual(user('alice'))
  })

  it('looks at the file itself now and then where its folder cannot be watched', async () => {
    path = join(folder, 'later', 'users.jsonl')
    const { lookup, lines, clock } = start()
    expect(await lookup('alice')).toEqual(unavailable)
    expect(lines.some((one) => one.includes('cannot be watched'))).toBe(true)
    await mkdir(join(folder, 'later'))
    await writeFile(path, line('alice'))
    clock.advance(POLL_MS)
    expect(await lookup('alice')).toEqual(user('alice'))
  })

  it('does not read what has not changed', async () => {
    await writeFile(path, line('alice'))
    const { lookup, lines, clock } = start()
    await lookup('alice')
    clock.advance(POLL_MS)
    clock.advance(POLL_MS)
    await appendFile(path, line('bob'))
    await eventually(() => lookup('bob')).toEqual(user('bob'))
    expect(lines.filter((one) => one.includes('users file: read'))).toHaveLength(2)
  })

  it('is not watched after it was closed', async () => {
    await writeFile(path, line('alice'))
    const { lookup, source, clock, lines } = start()
    await lookup('alice')
    source.close()
    await writeFile(path, line('bob'))
    clock.advance(POLL_MS)
    // A reading begun after closing would be over by the time another source has read the same file.
    const other = start()
    expect(await other.lookup('bob')).toEqual(user('bob'))
    expect(lookup('bob')).toEqual(unknown)
    expect(lines).toHaveLength(1)
  })
})
