import { join } from 'node:path'
import { expect, test } from 'vitest'
import { manifest, projectFiles, textOf } from './files.ts'

const linesMax = 600
const sources = ['src', 'test', 'bench', 'scripts', 'examples'].flatMap((folder) =>
  projectFiles(folder, ['.ts', '.mjs']),
)

test(`no file is longer than ${linesMax} lines: it would read better as two`, () => {
  const long = sources.filter((file) => textOf(file).split('\n').length - 1 > linesMax)
  expect(long).toEqual([])
})

/** Tests that run only where something is there that the project cannot bring along. */
const conditional = ['test/parser/conformance.ts: skip']

test('no test is switched off or runs alone', () => {
  const modifier = /\b(?:describe|test|it)\.(only|skip|todo|fails)\b/g
  const switched = sources.flatMap((file) => [...textOf(file).matchAll(modifier)].map(([, word]) => `${file}: ${word}`))
  expect(switched).toEqual(conditional)
})

test('every dependency is imported, run by a script, or the types of one', () => {
  const code = [...sources, 'vitest.config.ts'].map(textOf).join('\n')
  const commands = Object.values(manifest.scripts).join('\n')
  const all = { ...manifest.dependencies, ...manifest.devDependencies }
  const unused = Object.keys(all).filter((name) => {
    const imported = new RegExp(`(?:from|import) *\\(?'${name}(?:/[^']*)?'`).test(code)
    const { bin = {} } = JSON.parse(textOf(join('node_modules', name, 'package.json'))) as {
      bin?: string | Record<string, string>
    }
    const binaries = typeof bin === 'string' ? [name] : Object.keys(bin)
    const run = binaries.some((binary) => new RegExp(`(?:^|&& )${binary}(?= )`, 'm').test(commands))
    const typed = name.startsWith('@types/') && (name === '@types/node' || name.slice('@types/'.length) in all)
    return !imported && !run && !typed
  })
  expect(unused).toEqual([])
})

test('what runs in production is no development dependency, and nothing else is a dependency', () => {
  const code = projectFiles('src', ['.ts']).map(textOf).join('\n')
  const imports = [...code.matchAll(/(?:from|import) *\(?'((?:@[\w.-]+\/)?[\w-][\w.-]*)(?:\/[^']*)?'/g)]
  const packages = new Set(imports.map(([, name = '']) => name).filter((name) => !name.startsWith('node:')))
  expect([...packages].sort()).toEqual(Object.keys(manifest.dependencies).sort())
})
