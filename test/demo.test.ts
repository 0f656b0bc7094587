import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const project = fileURLToPath(new URL('..', import.meta.url))
const demo = [join(project, 'tools/node'), 'tools/demo.ts'] as const

const manifest = (name: string, version: string, license: unknown): string =>
  JSON.stringify({ name, version, license })

const modules = {
  '.package-lock.json': '{}',
  '.bin/tool': '#!/bin/sh\n',
  'alpha/package.json': manifest('alpha', '1.0.0', 'MIT').replace('"license":', '"license": '),
  'alpha/index.js': 'export const a = 1\n\n\nexport const b = 2\n',
  'beta/package.json': manifest('beta', '2.0.0', { type: 'Say "hi", or, <not>' }),
  'beta/lib/index.ts': 'export const c = 3\n',
  'gamma/package.json': manifest('gamma', '3.0.0', 'ISC'),
  'no-manifest/style.css': 'a { color: red }\n',
  '@scope/one/package.json': manifest('@scope/one', '4.0.0', 'MIT'),
  '@scope/two/package.json': manifest('@scope/two', '5.0.0', 'MIT'),
}

describe('the demonstration', () => {
  let directory = ''
  let args: readonly string[] = []

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'demo-'))
    const root = join(directory, 'data')
    const packages = join(directory, 'some modules')
    for (const [path, text] of Object.entries(modules)) {
      await mkdir(dirname(join(packages, path)), { recursive: true })
      await writeFile(join(packages, path), text)
    }
    await symlink('alpha', join(packages, 'link-to-alpha'))
    await symlink('nowhere', join(packages, 'gamma', 'broken-link'))
    args = ['--root', root, '--address', '127.0.0.1:0', '--modules', packages]
  })

  afterAll(() => rm(directory, { recursive: true, force: true }))

  test('tells what was processed, what changed and from what, and is over', async () => {
    const { stdout } = await tellStory(args)
    expect(stdout).toContain('6 packages, ')
    expect(counts(stdout)).toEqual([
      ['package-facts', '6 processed, 0 skipped'],
      ['bill-of-materials', '1 processed, 0 skipped'],
      ['package-facts', '1 processed, 4 skipped'],
      ['bill-of-materials', '1 processed, 0 skipped'],
    ])
    expect(stdout).toContain('  - alpha,1.0.0,MIT,2,')
    expect(stdout).toContain('  + alpha,1.0.0,BUSL-1.1,2,')
    expect(stdout).toMatch(/^ {2}- no-manifest,unknown,unknown,1,17,1$/m)
    expect(stdout).toMatch(/\/pfs\/packages +packages\/[0-9a-f]{32}\/alpha$/m)
    expect(stdout).toMatch(/\/pfs\/scripts +scripts\/[0-9a-f]{32}\/describe-package.mjs$/m)
    expect(stdout).toContain('"license": "BUSL-1.1"')
  })

  test('told again on the same data, skips all, and shows the same change', async () => {
    const { stdout } = await tellStory(args)
    expect(counts(stdout)).toEqual([
      ['package-facts', '0 processed, 6 skipped'],
      ['bill-of-materials', '0 processed, 1 skipped'],
      ['package-facts', '0 processed, 5 skipped'],
      ['bill-of-materials', '0 processed, 1 skipped'],
    ])
    expect(stdout).toContain('  + alpha,1.0.0,BUSL-1.1,2,')
  })

  test('goes on serving until it is asked to stop', async () => {
    const [program, ...first] = demo
    const child = spawn(program, [...first, ...args], { cwd: project })
    const ended = new Promise((resolve) => child.once('close', resolve))
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (text.includes('until Ctrl-C')) child.kill('SIGINT')
    })
    expect(await ended).toBe(0)
    expect(stdout).toContain('What to try next')
    expect(stdout).toContain('Stopping the server.')
  })

  test('says who has the port, and how to take another', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const address = taken.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const busy = ['--root', join(directory, 'other'), '--address', `127.0.0.1:${port}`]
    const failure: unknown = await tellStory(busy).catch((error: unknown) => error)
    taken.close()
    expect(failure).toMatchObject({ code: 1 })
    expect((failure as { readonly stderr: string }).stderr).toMatch(
      /another program.*npm start -- --once --address 127\.0\.0\.1:30651/s,
    )
  })
})

function tellStory(args: readonly string[]): Promise<{ readonly stdout: string }> {
  const [program, ...first] = demo
  return promisify(execFile)(program, [...first, '--once', ...args], { cwd: project })
}

function counts(stdout: string): readonly (readonly string[])[] {
  const lines = stdout.matchAll(/^ {2}([a-z-]+): +([\d,]+ processed, [\d,]+ skipped)/gm)
  return Array.from(lines, ([, pipeline = '', text = '']) => [pipeline, text])
}
