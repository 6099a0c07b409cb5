import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { manifest, projectFiles, root, textOf } from './files.ts'

const documents = projectFiles('', ['.md'])

/** `Rule ids & more` → `rule-ids--more`, as the web views of Markdown files make anchors of headings. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

function anchorsOf(document: string): string[] {
  return [...textOf(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading))
}

test.for(documents)('every npm command in %s is a script of package.json', (document) => {
  const commands = textOf(document).matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)
  const unknown = [...commands]
    .map(([, script, short]) => script ?? short ?? '')
    .filter((name) => !manifest.scripts[name])
  expect(unknown).toEqual([])
})

test.for(documents)('every relative link in %s leads to a file, and to a heading of it', (document) => {
  const links = [...textOf(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
  const broken = links.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? document : join(dirname(document), path)
    if (!existsSync(join(root, file))) return true
    return anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).includes(anchor)
  })
  expect(broken).toEqual([])
})

/** `R-21`, also in `R-21a`; nothing in `UTF-8` or `SHA-256`. */
const ruleId = /(?<![\w-])(?:[MURWDSPCKQ]|SILO)-\d+/g

test('every rule id that the code, the tests and the documents cite is a rule of docs/protocol.md', () => {
  // A rule begins its line, but for a few of the Q- rules, which follow one another.
  const rules = new Set(
    [...textOf('docs/protocol.md').matchAll(/(?:^- |\. )((?:[MURWDSPCKQ]|SILO)-\d+) /gm)].map(([, id]) => id),
  )
  expect(rules.size).toBeGreaterThan(200)
  const citing = [
    ...['src', 'test', 'bench', 'examples', 'scripts'].flatMap((folder) => projectFiles(folder, ['.ts', '.mjs'])),
    ...documents,
  ]
  const unknown = citing.flatMap((file) =>
    [...textOf(file).matchAll(ruleId)].filter(([id]) => !rules.has(id)).map(([id]) => `${file}: ${id}`),
  )
  expect(unknown).toEqual([])
})
