import { z } from 'zod'
import { configKeys, type KeyNotes } from './keys.ts'

/** The part of JSON Schema that the schema's keys come out as, with their notes. */
export interface KeySchema extends Partial<KeyNotes> {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly multipleOf?: number
  readonly properties?: Readonly<Record<string, KeySchema>>
  readonly required?: readonly string[]
  readonly items?: KeySchema
  readonly anyOf?: readonly KeySchema[]
}

export type KeyPath = readonly PropertyKey[]

let cached: KeySchema | undefined

/** The schema as a tree to walk: what error texts and the generated docs are made from. */
export function keyTree(): KeySchema {
  cached ??= z.toJSONSchema(configKeys, { io: 'input' }) as KeySchema
  return cached
}

/** The form of a key that has keys of its own; `admin` also takes a value that has none. */
export function sectionOf(node: KeySchema): KeySchema | undefined {
  return node.properties ? node : node.anyOf?.find(({ properties }) => properties)
}

/** What the schema says of a key, or undefined when there is no such key. Numbers in the path are list positions. */
export function keyAt(path: KeyPath): KeySchema | undefined {
  let node: KeySchema | undefined = keyTree()
  for (const segment of path) {
    node = typeof segment === 'number' ? node?.items : node && sectionOf(node)?.properties?.[String(segment)]
  }
  return node
}

/** What a key takes, in words that complete "expected …": type, range, allowed values and unit. */
export function expected(node: KeySchema): string {
  return node.unit === undefined ? formOf(node) : `${formOf(node)} (${node.unit})`
}

/** The same without the unit. */
export function formOf(node: KeySchema): string {
  if (node.expects !== undefined) return node.expects
  if (node.enum) return `one of ${node.enum.join(', ')}`
  if (node.type === 'boolean') return 'true or false'
  if (node.type === 'number') {
    return `${node.multipleOf === 1 ? 'a whole number' : 'a number'} from ${node.minimum} to ${node.maximum}`
  }
  return node.properties ? 'a section' : 'text'
}

/** `auth.users[0].username`; the root has no name. */
export function keyName(path: KeyPath): string {
  let name = ''
  for (const segment of path) {
    if (typeof segment === 'number') name += `[${segment}]`
    else name += `${name && '.'}${/^[\w-]+$/.test(String(segment)) ? String(segment) : JSON.stringify(segment)}`
  }
  return name
}

/** The key the operator most likely meant by an unknown one: the same name elsewhere, or a similar one in its place. */
export function meantKey(section: KeyPath, unknown: string): string | undefined {
  const elsewhere = keyNames(keyTree()).find((name) => name.split('.').at(-1) === unknown)
  if (elsewhere !== undefined) return elsewhere
  const siblings = siblingKeys(section).map((key) => ({ key, distance: editDistance(unknown.toLowerCase(), key) }))
  const [nearest] = siblings.sort((a, b) => a.distance - b.distance)
  return nearest && nearest.distance <= Math.max(1, Math.floor(nearest.key.length / 3)) ? nearest.key : undefined
}

/** The keys a section takes. */
export function siblingKeys(section: KeyPath): readonly string[] {
  const node = keyAt(section)
  return Object.keys((node && sectionOf(node)?.properties) ?? {})
}

/** The full names of all keys below a node; list positions are left open as `[]`. */
function keyNames(node: KeySchema, prefix = ''): string[] {
  return Object.entries(sectionOf(node)?.properties ?? {}).flatMap(([key, child]) => {
    const name = `${prefix}${key}`
    return [name, ...(child.items ? keyNames(child.items, `${name}[].`) : keyNames(child, `${name}.`))]
  })
}

/** Levenshtein's distance: insertions, deletions and replacements that turn one text into the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (const [line, letter] of [...from].entries()) {
    const next = [line + 1]
    for (let column = 1; column <= to.length; column++) {
      const replaced = row[column - 1]! + (letter === to[column - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[column]! + 1, next[column - 1]! + 1))
    }
    row = next
  }
  return row[to.length]!
}
