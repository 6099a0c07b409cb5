import { SilopathError } from '../../src/errors.ts'
import { openFilesMax } from './process-stat.ts'

/** Files that a process has open besides the connections: standard streams, polls, wasm, stores, listeners. */
const OTHER_FILES = 64

/** Refuses a run whose connections would not fit in one process; the relay inherits the same limit. */
export const requireOpenFiles = (connections: number): void => {
  const max = openFilesMax()
  if (connections + OTHER_FILES <= max) return
  throw new SilopathError(
    'CONFIG_INVALID',
    `${connections} connections need ${connections + OTHER_FILES} open files and ${max} are allowed. ` +
      `Remedy: \`ulimit -n ${connections + OTHER_FILES}\` before the run, or fewer pairs.`,
  )
}
