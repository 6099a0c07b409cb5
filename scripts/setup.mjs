// Brings a fresh clone to the point where `npm start` and `npm test` work. Runs before both, on whatever Node the
// machine has (>= 20), so it uses nothing but Node's own modules.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Modification time of a file in ms, 0 when it is not there. */
const modifiedAt = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0)

const run = (command, args, what) => {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status === 0) return
  console.error(
    `silopath: ${what} failed${error ? `: ${error.message}` : ''}. Remedy: run \`${command} ${args.join(' ')}\` and see why.`,
  )
  process.exit(1)
}

if (modifiedAt('node_modules/.package-lock.json') < modifiedAt('package-lock.json')) {
  console.error('silopath: installing the locked dependencies (once; about 20 s) ...')
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'npm ci')
}

const kernelSources = ['src/parser/kernel', 'src/parser/kernel/assembly', 'scripts']
const newestSource = Math.max(
  ...kernelSources.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => /\.(ts|mjs)$/.test(file))
      .map((file) => modifiedAt(join(folder, file))),
  ),
)
if (modifiedAt('build/kernel.wasm') < newestSource) {
  console.error('silopath: building the parser kernel ...')
  run(join(root, 'node_modules/.bin/node'), [join(root, 'scripts/build-kernel.mjs')], 'the kernel build')
}
