import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** What tools make or install; the rest is ours. */
const foreign = new Set(['node_modules', 'dist', 'build', 'data', 'coverage', '.git'])

/** Paths from the root of all files of the project under `folder` whose name ends in one of `endings`. */
export function projectFiles(folder: string, endings: readonly string[]): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return foreign.has(entry.name) ? [] : projectFiles(path, endings)
    return endings.some((ending) => path.endsWith(ending)) ? [path] : []
  })
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export interface Manifest {
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

export const manifest = JSON.parse(textOf('package.json')) as Manifest
