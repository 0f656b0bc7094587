import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import type { SlotSecrets } from '../pipelines/executor.ts'
import { runIn, sh } from '../testing/process-fixture.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from './process.ts'
import { isTested } from '../testing/left-out.ts'

const clock = new SystemClock()
const random = new SystemRandom()
const isRoot = process.geteuid?.() === 0
const never = new AbortController().signal

let data = ''
let executor: ProcessExecutor

async function open(isolation: Isolation): Promise<void> {
  executor = await openProcessExecutor({
    directory: join(data, 'scratch'),
    hiddenDirectories: [data],
    clock,
    random,
    isolation,
  })
}

beforeEach(() => {
  // Below the checkout: what is below /tmp is out of sight for user code anyway.
  data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-secrets-'))
})

afterEach(async () => {
  await executor[Symbol.asyncDispose]()
  rmSync(data, { recursive: true, force: true })
})

function secretsAt(
  paths: readonly string[],
  files: Readonly<Record<string, Uint8Array>> = { key: utf8('hush') },
): SlotSecrets {
  const directory = new Map(Object.entries(files))
  return { environment: {}, directories: paths.map((path) => ({ path, files: directory })) }
}

/** Everything that the slot has on the disk. */
function onDisk(directory: string): string {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')
}

for (const isolation of ['root', 'user'] as const) {
  const describeHere = isolation === 'root' && !isTested(isRoot) ? describe.skip : describe
  describeHere(`secrets in the sandbox of "${isolation}"`, () => {
    beforeEach(() => open(isolation))

    test('are files for the eyes of user code alone, whatever is in them', async () => {
      const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 251)
      const long = `long-${'x'.repeat(200)}`
      const secrets = secretsAt(['/keys'], { bytes, empty: new Uint8Array(), [long]: utf8('ü') })
      const script = 'stat -c "%a %u" /keys /keys/*; base64 -w0 /keys/bytes; echo; cat /keys/long*'
      await using slot = await executor.openSlot(sh(script), never, secrets)
      const { stdout } = await runIn(slot)
      expect(stdout).toEqual([
        '500 0',
        '400 0',
        '400 0',
        '400 0',
        Buffer.from(bytes).toString('base64').slice(0, 65_536),
        Buffer.from(bytes).toString('base64').slice(65_536),
        'ü',
      ])
    })

    test('cannot be changed, added to or removed', async () => {
      const script =
        'for c in "echo x >/keys/key" ": >/keys/new" "rm -f /keys/key" "chmod 777 /keys" ' +
        '"mount -o remount,rw /keys" "umount /keys" "mv /keys /kept"; do ' +
        '(eval "$c") 2>/dev/null && echo "$c"; done; cat /keys/key'
      await using slot = await executor.openSlot(sh(script), never, secretsAt(['/keys']))
      expect((await runIn(slot)).stdout).toEqual(['hush'])
    })

    test('are shown at any place, and what is beside it stays', async () => {
      const places = [
        '/etc/made/deeper',
        '/etc/made/other',
        '/etc/.more',
        '/keys',
        '/keys/below',
        '/root/.aws',
      ]
      const script =
        `for d in ${places.join(' ')} /opt; do cat $d/key; echo; done; ` +
        'ls -A /etc | wc -l; cat /etc/passwd | wc -l; (: >/etc/made/x) 2>&1; (: >/etc/passwd) 2>&1; ' +
        'ls -A /; ls -A /root'
      await using plain = await executor.openSlot(
        sh('ls -A /etc | wc -l; wc -l < /etc/passwd; ls -A /'),
        never,
      )
      const [names = '', lines = '', ...entries] = (await runIn(plain)).stdout
      await using slot = await executor.openSlot(sh(script), never, secretsAt([...places, '/opt']))
      const { stdout } = await runIn(slot)
      expect(stdout.slice(0, 7)).toEqual(Array.from({ length: 7 }, () => 'hush'))
      expect(stdout.slice(7, 9)).toEqual([String(Number(names) + 2), lines])
      expect(stdout.slice(9, 11).join(' ')).toMatch(/Read-only.*Read-only/)
      expect(stdout.slice(11).toSorted()).toEqual([...entries, 'keys', '.aws'].toSorted())
    })

    test('are not shown where something else is, or where all is writable', async () => {
      for (const [path, reason] of [
        ['/etc/passwd', 'is a file on this machine'],
        ['/etc/passwd/below', 'is a file on this machine'],
        ['/proc/keys', 'is a place that no secret can be shown at'],
        ['/dev/fd/keys', 'is a place that no secret can be shown at'],
      ] as const) {
        const opening = executor.openSlot(sh('true'), never, secretsAt([path]))
        await expect(opening).rejects.toThrow(`mount_path ${path}`)
        await expect(opening).rejects.toThrow(reason)
      }
      expect(readdirSync(join(data, 'scratch'))).toEqual([])
    })

    test('are in the environment of user code, and nowhere else', async () => {
      const mark = newHexId(random)
      const values = { TOKEN: `${mark} it's "$HOME"\n\\`, LD_PRELOAD: `/${mark}.so`, PATH_: 'p' }
      const secrets = { ...secretsAt(['/keys'], { key: utf8(mark) }), environment: values }
      const script =
        'printf "%s|%s|%s\\n" "$TOKEN" "$LD_PRELOAD" "$PATH_"; env | grep -ci pachyderm_secret; ' +
        'grep -c "$1" /.pachyderm/datum'
      await using slot = await executor.openSlot(
        { ...sh(script), command: ['sh', '-c', script, 'sh', mark.slice(0, 8)] },
        never,
        secrets,
      )
      for (let round = 0; round < 2; round += 1) {
        const { stdout } = await runIn(slot, { TOKEN: 'of the datum' })
        const [value, rest] = `${values.TOKEN}|${values.LD_PRELOAD}|p`.split('\n')
        expect(stdout).toEqual([value, rest, '0', '0'])
      }
      expect(onDisk(join(data, 'scratch'))).not.toContain(mark)
    })

    test('are those of one slot only', async () => {
      await using other = await executor.openSlot(sh('true'), never, secretsAt(['/keys']))
      expect(other.pfsPath).toBe('/pfs')
      const script = 'cat /keys/key; ls /proc/*/root/keys'
      await using slot = await executor.openSlot(sh(script), never)
      expect((await runIn(slot)).stdout).toEqual([])
    })
  })
}

describe('secrets without a sandbox', () => {
  beforeEach(() => open('none'))

  test('are in the environment, and refused as files', async () => {
    const environment = { TOKEN: 'hush' }
    await using slot = await executor.openSlot(sh('echo "$TOKEN"'), never, {
      environment,
      directories: [],
    })
    expect((await runIn(slot)).stdout).toEqual(['hush'])
    const files = executor.openSlot(sh('true'), never, secretsAt(['/keys']))
    await expect(files).rejects.toThrow('by "env_var" and "key" instead')
  })

  test('cannot have a name that shells keep for themselves', async () => {
    const opening = executor.openSlot(sh('true'), never, {
      environment: { UID: '1' },
      directories: [],
    })
    await expect(opening).rejects.toThrow('env_var UID is a name that shells keep for themselves')
  })
})
