// Writes src/gen/ anew from proto/. With `--check`, writes nothing and fails unless src/gen/ is current and
// proto/ keeps to the rules of buf.yaml. Needs no network.

import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const generated = 'src/gen'

// The code generator is a program of Node's too, and buf finds it by the PATH.
const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter)

/** Runs buf; false when it found something wrong, which it has then said. */
function buf(...args: readonly string[]): boolean {
  const program = 'node_modules/@bufbuild/buf/bin/buf'
  const { status } = spawnSync(process.execPath, [program, ...args], {
    stdio: 'inherit',
    env: { ...process.env, PATH },
  })
  return status === 0
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

/** The files that are not what proto/ says. */
async function findStale(): Promise<readonly string[]> {
  const fresh = await mkdtemp(join(tmpdir(), 'generate-'))
  try {
    if (!buf('generate', '--output', fresh)) return [generated]
    const paths = new Set([
      ...globSync(`${generated}/**/*.*`),
      ...globSync(`${generated}/**/*.*`, { cwd: fresh }),
    ])
    const stale: string[] = []
    for (const path of paths) {
      if ((await textOf(path)) !== (await textOf(join(fresh, path)))) stale.push(path)
    }
    return stale.toSorted()
  } finally {
    await rm(fresh, { recursive: true })
  }
}

async function check(): Promise<boolean> {
  const tidy = [buf('lint'), buf('format', '--diff', '--exit-code')].every(Boolean)
  const stale = await findStale()
  for (const path of stale) console.log(`${path} is not what proto/ says`)
  if (stale.length > 0) console.log('To write it anew: npm run generate')
  return tidy && stale.length === 0
}

const passed = process.argv.includes('--check') ? await check() : buf('generate')
if (!passed) process.exitCode = 1
