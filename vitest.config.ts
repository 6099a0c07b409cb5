import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

// Servers and their workers start hundreds of times: what they read is compiled once.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules/.cache/node')

export default defineConfig({
  test: {
    // LMDB and worker threads do not survive vitest's own worker threads: a forked process per file.
    pool: 'forks',
    // Much of the suite waits for sockets and timers: no core need be kept free.
    maxWorkers: Math.max(2, availableParallelism()),
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
