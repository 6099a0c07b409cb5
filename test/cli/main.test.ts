import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silopath } from './support.ts'

describe('silopath', () => {
  test('--version prints the version of package.json', async () => {
    const manifest = await readFile(resolve(import.meta.dirname, '../../package.json'), 'utf8')
    const { version } = JSON.parse(manifest) as { version: string }
    expect(await silopath(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('--help lists the commands, the exit codes and examples', async () => {
    const { code, stdout, stderr } = await silopath(['--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const text of ['run [options]', 'check-config <file>', 'sessions [options]', 'Exit codes:', 'Examples:'])
      expect(stdout).toContain(text)
  })

  test.each(['run', 'check-config', 'sessions'])('%s --help shows an example', async (command) => {
    const { code, stdout } = await silopath([command, '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`Examples?:\\n  \\$ silopath ${command}`))
  })

  test('without a command prints the help on stderr and fails as wrong usage', async () => {
    const { code, stdout, stderr } = await silopath([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: silopath')
  })

  test.each<[args: string[], error: string]>([
    [['serve'], "error: unknown command 'serve'"],
    [['run', '--conf', 'x'], "error: unknown option '--conf'\n(Did you mean --config?)"],
    [['run', 'relay.yaml'], "error: too many arguments for 'run'. Expected 0 arguments but got 1: relay.yaml."],
    [['run', '--log-format', 'xml'], 'Allowed choices are text, json.'],
    [['check-config'], "error: missing required argument 'file'"],
    [['sessions', '--admin', '127.0.0.1'], 'Expected a URL such as http://127.0.0.1:9095.'],
  ])('%j is wrong usage', async (args, error) => {
    const { code, stdout, stderr } = await silopath(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(error)
  })
})

describe('silopath check-config', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'silopath-cli-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('says that a file is ok', async () => {
    await writeFile(join(folder, 'relay.yaml'), 'domains: [relay.test]\n')
    const result = await silopath(['check-config', 'relay.yaml'], folder)
    expect(result).toEqual({ code: 0, stdout: 'relay.yaml: ok\n', stderr: '' })
  })

  test('prints every problem, with the file as it was named', async () => {
    await writeFile(join(folder, 'relay.yaml'), 'domains: []\nworker: 3\n')
    expect(await silopath(['check-config', './relay.yaml'], folder)).toEqual({
      code: 2,
      stdout: '',
      stderr: `silopath: 2 problems in the configuration:
./relay.yaml:1:10: domains: found a list, expected a list of 1 to 1024 domain names
./relay.yaml:2:1: worker: unknown key; did you mean workers?
`,
    })
  })

  test('says that a file is not there', async () => {
    const { code, stderr } = await silopath(['check-config', 'relay.yaml'], folder)
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'silopath: 1 problem in the configuration:\nrelay.yaml: there is no such file\n',
    })
  })
})
