import { execFile } from 'node:child_process'
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type KeySchema, keyTree, sectionOf } from '../../src/config/describe.ts'

const root = resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

// The script writes beside itself: a copy of it works on a folder of its own, with the project's sources.
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'silopath-docs-'))
  await cp(join(root, 'scripts/docs.ts'), join(folder, 'scripts/docs.ts'))
  await symlink(join(root, 'src'), join(folder, 'src'))
  await cp(join(root, 'package.json'), join(folder, 'package.json'))
  await mkdir(join(folder, 'docs'))
})
afterEach(() => rm(folder, { recursive: true }))

const docs = (...options: string[]) => run(process.execPath, [join(folder, 'scripts/docs.ts'), ...options])

test('--check names each document that is missing or stale, --write brings them up to date', async () => {
  const config = 'docs/config.md is out of date. Remedy: npm run docs\n'
  const schema = 'docs/config.schema.json is out of date. Remedy: npm run docs\n'
  await expect(docs('--check')).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining(config + schema) })
  await docs('--write')
  await expect(docs('--check')).resolves.toEqual({ stdout: '', stderr: '' })
  await appendFile(join(folder, 'docs/config.md'), 'more')
  await expect(docs('--check')).rejects.toMatchObject({ code: 1, stderr: config })
})

test('says how it is used', async () => {
  await expect(docs()).rejects.toMatchObject({ code: 2, stderr: 'usage: node scripts/docs.ts --write | --check\n' })
  await expect(docs('--write', '--check')).rejects.toMatchObject({ code: 2 })
})

test('the JSON Schema holds no word of ours and no default of this machine', async () => {
  await docs('--write')
  const text = await readFile(join(folder, 'docs/config.schema.json'), 'utf8')
  expect(text).not.toMatch(/"(kamailio|unit|expects|default_note)":|"secret": (true|false)/)
  const { properties } = JSON.parse(text) as KeySchema
  expect(properties?.workers).not.toHaveProperty('default')
  expect(properties?.memory_mib).toMatchObject({ minimum: 8, maximum: 1024, default: 64 })
})

test('every key says what it means, and every number but a plain count its unit', async () => {
  const mute: string[] = []
  const look = (node: KeySchema, path: string) => {
    if (node.description === undefined || (node.type === 'number' && node.unit === undefined)) mute.push(path)
    for (const [key, child] of Object.entries(sectionOf(node)?.properties ?? {})) {
      look(child, `${path}.${key}`)
      if (child.items?.properties) look(child.items, `${path}.${key}[]`)
    }
  }
  look(keyTree(), '')
  expect(mute).toEqual([])
})
