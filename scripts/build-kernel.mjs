// Compiles the AssemblyScript kernel twice: build/kernel.wasm is what runs, build/kernel.debug.wasm has every bounds
// and invariant assertion in and serves the tests. AssemblyScript instead of a C toolchain: it comes from the npm
// registry, so a fresh machine can build it.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const shared = [
  'src/parser/kernel/assembly/index.ts',
  '--runtime',
  'stub',
  '--enable',
  'simd',
  '--enable',
  'threads',
  '--enable',
  'bulk-memory',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory',
  '16',
  '--maximumMemory',
  '65536',
  '--memoryBase',
  '1024',
  '--baseDir',
  root,
]
const builds = [
  ['build/kernel.wasm', ['-O3', '--noAssert']],
  ['build/kernel.debug.wasm', ['-O1', '--debug']],
]
mkdirSync(join(root, 'build'), { recursive: true })
for (const [outFile, flags] of builds) {
  const { error, stderr } = await asc.main([...shared, ...flags, '--outFile', outFile])
  if (error) {
    console.error(stderr.toString())
    console.error(`silopath: kernel build failed: ${error.message}`)
    process.exit(1)
  }
}
