import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Scalar,
  visit,
  type YAMLError,
} from 'yaml'
import type { z } from 'zod'
import { type Result, SilopathError } from '../errors.ts'
import { checkAuthFiles } from './auth-files.ts'
import { expected, type KeyPath, keyAt, keyName, meantKey, siblingKeys } from './describe.ts'
import { type Config, completeConfig, configSchema } from './schema.ts'
import { isTableKey } from './silo-keys.ts'

/** One thing wrong with a config file, and where. Values that may be secret are not in it. */
export interface ConfigProblem {
  readonly file: string
  /** Line and column, from 1, of the key or value; null when the file itself is the problem. */
  readonly position: { readonly line: number; readonly column: number } | null
  /** What was found, and what was expected. */
  readonly message: string
}

type Problems = readonly ConfigProblem[]

/** `file:line:column: message`, a line each, as editors understand it. */
export function formatProblems(problems: Problems): string {
  return problems
    .map(
      ({ file, position, message }) => `${file}${position ? `:${position.line}:${position.column}` : ''}: ${message}`,
    )
    .join('\n')
}

/** The same as an error to end a command with. */
export function configError(problems: Problems): SilopathError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  return new SilopathError('CONFIG_INVALID', `${count} in the configuration:\n${formatProblems(problems)}`)
}

/** Reads and checks a config file, and the files of credentials that it names. Relative paths in it start from its folder. */
export async function loadConfig(path: string): Promise<Result<Config, Problems>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const message = code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`
    return { ok: false, error: [{ file: path, position: null, message }] }
  }
  const parsed = parseConfig(text, path)
  if (!parsed.ok) return parsed
  const problems = await checkAuthFiles(parsed.value.auth)
  return problems.length === 0 ? parsed : { ok: false, error: problems }
}

/**
 * Checks the text of a config file and fills in the defaults; an empty text gives the defaults. The error holds every
 * problem there is, in the order of the file. Only where the YAML itself is broken are keys and values not looked at.
 */
export function parseConfig(text: string, fileName: string): Result<Config, Problems> {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    logLevel: 'error',
  })
  const duplicates = document.errors.filter(({ code }) => code === 'DUPLICATE_KEY').map(duplicateFinding)
  const broken = [...document.errors, ...document.warnings]
    .filter(({ code }) => code !== 'DUPLICATE_KEY')
    .map(yamlFinding)
  visit(document, {
    Alias(_, node) {
      const offset = start(node, 0)
      const message = 'aliases are not supported: text that starts with * must be quoted'
      broken.push({ offset, message })
    },
  })
  const findings = [...broken, ...duplicates]
  if (broken.length === 0) {
    const parsed = configSchema.safeParse(document.contents === null ? {} : document.toJS())
    if (parsed.success && findings.length === 0)
      return { ok: true, value: completeConfig(parsed.data, dirname(resolve(fileName))) }
    findings.push(...(parsed.error?.issues.flatMap((issue) => keyFindings(issue, document, text)) ?? []))
  }
  findings.sort((a, b) => a.offset - b.offset)
  const problems = findings.map(({ offset, message }) => {
    const { line, col } = lines.linePos(offset)
    return { file: fileName, position: { line, column: col }, message }
  })
  // A number can break two rules of its key at once; the text is the same.
  return { ok: false, error: problems.filter((problem, index) => !isDeepStrictEqual(problem, problems[index - 1])) }

  function duplicateFinding({ pos: [offset] }: YAMLError): Finding {
    const [key = 'the key'] = /^[\w-]+/.exec(text.slice(offset, offset + 100)) ?? []
    return { offset, message: `${key}: stands here a second time, expected each key once` }
  }
}

interface Finding {
  readonly offset: number
  readonly message: string
}

/** A problem of the YAML itself. Some of the parser's messages quote the file, which may be a password: those are cut. */
function yamlFinding({ code, message, pos: [offset] }: YAMLError): Finding {
  switch (code) {
    case 'TAG_RESOLVE_FAILED':
      return { offset, message: 'tags are not supported: text that starts with ! must be quoted' }
    case 'MULTIPLE_DOCS':
      return { offset, message: 'a second document starts here, expected one' }
    case 'NON_STRING_KEY':
      return { offset, message: 'not readable as YAML: a key must be text' }
    case 'UNEXPECTED_TOKEN':
      return { offset, message: `not readable as YAML: ${message.replace(/: .*$/s, '')}` }
    default:
      return { offset, message: `not readable as YAML: ${message}` }
  }
}

/** What an issue of the schema says about the file. */
function keyFindings(issue: z.core.$ZodIssue, document: Document, text: string): Finding[] {
  if (issue.code === 'invalid_union') {
    // The branch the operator meant is the one that the value has the shape of; its issues are inside the value.
    const meant = issue.errors.find((branch) =>
      branch.every(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
    )
    if (meant)
      return meant.flatMap((inner) => keyFindings({ ...inner, path: [...issue.path, ...inner.path] }, document, text))
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const path = [...issue.path, key]
      const { keyOffset: offset } = locate(document, path)
      if (issue.path[0] === 'silo' && isTableKey(key)) {
        const message = `${keyName(path)}: names a part of an SQL table, which only import and export know; see silopath silo import --help and silopath silo export --help`
        return { offset, message }
      }
      const meant = meantKey(issue.path, key)
      if (meant !== undefined) return { offset, message: `${keyName(path)}: unknown key; did you mean ${meant}?` }
      // What is no key at all may be a password that lost its key.
      const name = keyName(keyAt(issue.path)?.secret ? issue.path : path)
      return { offset, message: `${name}: unknown key; known here: ${siblingKeys(issue.path).join(', ')}` }
    })
  }
  // A rule between keys names a second place: the key it is about may have its value by default.
  const { or, at = 0 } = (issue.code === 'custom' && issue.params) || {}
  const second: KeyPath[] = or ? [or] : []
  const path = [issue.path, ...second].find((candidate) => locate(document, candidate).exists) ?? issue.path
  const { exists, offset, value, node } = locate(document, path)
  const key = keyAt(path) ?? {}
  const found = exists ? `found ${shown(value, key.secret ?? false)}` : 'missing'
  const wanted = issue.code === 'custom' ? issue.message : expected(key)
  const inside =
    isScalar(node) && typeof value === 'string' && at > 0 ? offsetInside(text, node, value.slice(0, at)) : offset
  return [{ offset: inside, message: `${keyName(path) || 'the file'}: ${found}, expected ${wanted}` }]
}

interface Place {
  /** Whether the path leads to a value; else the offsets are those of the innermost part of it that is there. */
  readonly exists: boolean
  readonly value: unknown
  readonly node: unknown
  readonly offset: number
  readonly keyOffset: number
}

/** Finds what a path leads to in the file. Of a key that stands there twice the last counts, as it does for its value. */
function locate(document: Document, path: KeyPath): Place {
  let node: unknown = document.contents
  let offset = start(node, 0)
  let keyOffset = offset
  for (const segment of path) {
    const pair = isMap(node) ? node.items.findLast(({ key }) => isScalar(key) && key.value === segment) : undefined
    const child = isSeq(node) ? node.items[Number(segment)] : pair?.value
    if (child === undefined) return { exists: false, value: undefined, node, offset, keyOffset }
    node = child
    keyOffset = start(pair?.key ?? node, offset)
    // A key without a value: the place to look at is the key.
    offset = isScalar(node) && node.source === '' ? keyOffset : start(node, keyOffset)
  }
  return { exists: true, value: isNode(node) ? node.toJS(document) : node, node, offset, keyOffset }
}

function start(node: unknown, otherwise: number): number {
  return isNode(node) ? (node.range?.[0] ?? otherwise) : otherwise
}

/**
 * Where the file goes on after the beginning of a text: quotes, escapes and indents make it longer there. Where the two
 * cannot be followed side by side, the place where the text begins.
 */
function offsetInside(text: string, scalar: Scalar, beginning: string): number {
  const begin = start(scalar, 0)
  const { type = '' } = scalar
  let offset = type.startsWith('QUOTE') ? begin + 1 : begin
  if (type.startsWith('BLOCK')) offset = skipIndent(text, text.indexOf('\n', begin) + 1)
  for (const unit of beginning.split('')) {
    const escaped = type === 'QUOTE_DOUBLE' ? /^\\(?:x..|u....|[^xuU\r\n])/.exec(text.slice(offset, offset + 6)) : null
    if (escaped !== null) offset += escaped[0].length
    else if (unit === "'" && type === 'QUOTE_SINGLE') offset += 2
    else if (text[offset] === unit && unit !== '\n') offset++
    // A line's end may stand for a blank.
    else if (text[offset] === '\n' && (unit === '\n' || unit === ' ')) offset = skipIndent(text, offset + 1)
    else return begin
  }
  return offset
}

function skipIndent(text: string, offset: number): number {
  while (text[offset] === ' ') offset++
  return offset
}

/** A value of the file in an error text: short, and without what may be a secret. */
function shown(value: unknown, secret: boolean): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a section'
  if (secret) return typeof value === 'string' ? 'text' : `a ${typeof value}`
  if (typeof value !== 'string') return String(value)
  const text = value.replace(/\/\/[^/]*@/, '//...@')
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text)
}
