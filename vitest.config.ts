import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // LMDB and worker threads do not survive vitest's own worker threads: a forked process per file.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
