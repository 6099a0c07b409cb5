import { readFileSync } from 'node:fs'

/** Version of the package: package.json is one folder up from src as well as from dist. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version
