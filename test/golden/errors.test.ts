import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { runPachctl } from './pachctl-run.ts'
import { Stage } from './stage.ts'

const failing: readonly (readonly [command: string, input?: string])[] = [
  ['creat-repo data'],
  ['repo-list'],
  ['merge'],
  ['list file'],
  ['flush-comit'],
  ['port-forward'],
  ['create-repo'],
  ['create-repo a b'],
  ['diff-file data master / data'],
  ['flush-commit'],
  ['list-repo --rw'],
  ['list-repo -p'],
  ['list-commit data -n many'],
  ['delete-repo'],
  ['delete-repo data --all'],
  ['delete-repo nope'],
  ['inspect-repo nope'],
  ["create-repo 'a b'"],
  ['inspect-commit data nope'],
  ['finish-commit data nope'],
  ['flush-commit data'],
  ['flush-commit nope/master'],
  ['subscribe-commit data master --new --from master'],
  ['get-file data master /none'],
  ['get-file data master / -r'],
  ['get-file data master a -o directory'],
  ['get-file data master / -r -o /proc/there'],
  ['put-file data master'],
  ['put-file data master x', 'no commit is open'],
  ['put-file data master x -f missing'],
  ['put-file data master x -f directory'],
  ['put-file data master x -f ftp://localhost/x'],
  ['put-file data master x --split xml', '{}'],
  ['inspect-job nope'],
  ['stop-job nope'],
  ['delete-pipeline nope'],
  ['delete-pipeline'],
  ['start-pipeline nope'],
  ['get-logs'],
  ['get-logs --pipeline nope'],
  ['get-logs --pipeline nope --tail 0'],
  ['create-pipeline -f missing.json'],
  ['create-pipeline -f directory'],
  ['create-pipeline', ''],
  ['create-pipeline', '{"pipeline": {"name": "x"}, "strategy": 1}'],
  ['create-pipeline', '{"pipeline": {"name": "x"}'],
  ['create-pipeline', '{\n  "pipeline": {"name": "x",}\n}'],
  ['create-pipeline', '{"scale_down_threshold": "soon"}'],
  ['create-pipeline', '{"input": {"cross": [{"atom": {"repo": "data"}, "union": []}]}}'],
  ['create-pipeline', '{"pipeline": {"name": "x"}, "inputs": [{"repo": {"name": "data"}}]}'],
  ['create-pipeline --push-images', '{}'],
]

test('failures say what is wrong on stderr, and exit with 1', async () => {
  await using stage = await Stage.open()
  await mkdir(join(stage.directory, 'directory'))
  await stage.quietly(['create-repo', 'data'])
  await stage.quietly(['put-file', 'data', 'master', 'a', '-c'], 'content')
  for (const [command, input] of failing) await stage.run(command, input)
  expect(stage.transcript.text).toBe(stage.transcript.stored('errors'))
})

test('a server that is down is told with advice', async () => {
  await using root = await TemporaryDirectory.create()
  const where = { address: '127.0.0.1:1', home: root.path, directory: root.path }
  const advice = 'cannot reach pachd at 127.0.0.1:1: connection refused; start pachd there, or set'
  const list = await runPachctl(['list-repo'], where)
  expect(list).toMatchObject({ code: 1, out: '', err: expect.stringContaining(advice) as string })
  const version = await runPachctl(['version'], where)
  expect(version.code).toBe(1)
  expect(version.out).toMatch(/^COMPONENT +VERSION +\npachctl +1\.5\.3-ts-/)
  expect(version.err).toContain('(version unknown)')
  expect(version.err).toContain(advice)
})

test('without ADDRESS, the config file of 1.5 says where pachd is', async () => {
  await using root = await TemporaryDirectory.create()
  const where = { address: '', home: root.path, directory: root.path }
  await mkdir(root.join('.pachyderm'))
  const path = root.join('.pachyderm/config.json')
  await writeFile(path, '{"user_id": "x", "v1": {"pachd_address": "127.0.0.1:2"}}')
  expect((await runPachctl(['list-repo'], where)).err).toContain('127.0.0.1:2')
  await writeFile(path, '{"user_id"')
  expect((await runPachctl(['list-repo'], where)).err).toContain(`${path} is not JSON`)
})

test('help needs no server, and names every command', async () => {
  await using root = await TemporaryDirectory.create()
  const where = { address: '127.0.0.1:1', home: root.path, directory: root.path }
  const help = await runPachctl(['help'], where)
  expect(help).toMatchObject({ code: 0, err: '' })
  expect(await runPachctl([], where)).toEqual(help)
  expect(await runPachctl(['-h'], where)).toEqual(help)
  const command = await runPachctl(['put-file', '--help'], where)
  expect(command).toMatchObject({ code: 0, err: '' })
  expect(command.out).toContain('Usage:\n  pachctl put-file REPO BRANCH [PATH] [flags]\n')
  expect(await runPachctl(['help', 'put-file'], where)).toEqual(command)
})

test('a reader that has seen enough ends pachctl without a word', async () => {
  await using stage = await Stage.open()
  await stage.quietly(['create-repo', 'data'])
  const lines = 'a line of many\n'.repeat(1_000_000)
  await stage.quietly(['put-file', 'data', 'master', 'large', '-c'], lines)
  const program = fileURLToPath(new URL('../../bin/pachctl', import.meta.url))
  const script = `"${program}" get-file data master large | head -n 1; echo "code \${PIPESTATUS[0]}"`
  const child = spawn('bash', ['-c', script], { env: { ...process.env, ADDRESS: stage.address } })
  let seen = ''
  child.stdout.on('data', (text: Buffer) => (seen += text.toString()))
  child.stderr.on('data', (text: Buffer) => (seen += `stderr: ${text.toString()}`))
  await new Promise((resolve) => child.on('close', resolve))
  expect(seen).toBe('a line of many\ncode 0\n')
})
