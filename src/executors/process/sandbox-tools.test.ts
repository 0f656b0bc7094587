import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { FailedPreconditionError } from '../../base/errors.ts'
import { noSecrets } from '../../pipelines/executor.ts'
import { isTool, requireArchiver, toolFault } from './sandbox-tools.ts'
import { toolPath } from './sandbox.ts'

const names =
  'unshare setsid setpriv mount umount pivot_root ipcrm find nice cat ln mkdir readlink realpath rm rmdir stat sed'.split(
    ' ',
  )

/** A directory of the machine's tools, some of which are missing, or other programs. */
async function withTools(
  others: Readonly<Record<string, string | undefined>>,
  use: (path: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'pachyderm-tools-'))
  try {
    for (const name of names) {
      const target = join(directory, name)
      if (name in others) {
        const text = others[name]
        if (text !== undefined) writeFileSync(target, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
        continue
      }
      const place = toolPath.split(':').find((path) => isTool(name, path)) ?? ''
      symlinkSync(join(place, name), target)
    }
    await use(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('a machine whose tools are all there, and know what they are asked for, lacks nothing', async () => {
  expect(await toolFault(toolPath)).toBeUndefined()
  await withTools({}, async (path) => {
    expect(await toolFault(path)).toBeUndefined()
  })
})

test.each([
  ['unshare', 'util-linux'],
  ['umount', 'util-linux'],
  ['find', 'findutils'],
  ['nice', 'coreutils'],
  ['sed', 'sed'],
])('a tool that is missing is named, and its package: %s', async (name, packageName) => {
  await withTools({ [name]: undefined }, async (path) => {
    const fault = await toolFault(path)
    expect(fault?.reason).toContain(`"${name}"`)
    expect(fault?.advice).toContain(`install ${packageName}`)
  })
})

test('tools that do not know what they are asked for are named with the option', async () => {
  const old = 'echo " --bounding-set <caps>\n --inh-caps <caps>"'
  await withTools({ setpriv: old }, async (path) => {
    const fault = await toolFault(path)
    expect(fault?.reason).toContain('"setpriv --pdeathsig"')
    expect(fault?.advice).toContain('util-linux 2.33')
  })
  const other =
    'echo "BusyBox v1.35.0 multi-call binary.\nUsage: unshare [OPTIONS] [PROG ARGS]" >&2; exit 1'
  await withTools({ unshare: other }, async (path) => {
    expect((await toolFault(path))?.reason).toContain('"unshare --kill-child"')
  })
})

test('a tool that tells nothing, for want of memory or so, is not said to be lacking', async () => {
  await withTools({ unshare: 'kill -KILL $$', mount: 'exit 1' }, async (path) => {
    expect(await toolFault(path)).toBeUndefined()
  })
})

test('files of secrets take tar, and nothing else does', () => {
  const directories = [{ path: '/key', files: new Map() }]
  const secrets = { environment: {}, directories }
  requireArchiver(secrets, toolPath)
  requireArchiver(noSecrets, '/nonexistent')
  expect(() => requireArchiver(secrets, '/nonexistent')).toThrow(FailedPreconditionError)
  expect(() => requireArchiver(secrets, '/nonexistent')).toThrow('install tar')
})
