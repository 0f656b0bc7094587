import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { CancelledError } from '../base/errors.ts'
import { parsePipelineName } from '../base/names.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import { tarEnd, tarHeaders, tarPaddingBytes } from '../base/tar.ts'
import { TestContainerExecutor } from '../testing/container-fixture.ts'
import { canHaveDocker, DockerEngine } from '../testing/docker-engine.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import { processesWith } from '../testing/process-fixture.ts'
import type { TestEngine } from '../testing/test-engine.ts'
import { busyboxImage } from '../testing/test-images.ts'
import type { ContainerExecutorOptions } from './containers.ts'
import { memoryForUserCode } from './process/control-groups.ts'

const clock = new SystemClock()
const random = new SystemRandom()
const image = 'localhost/busybox:test'
const never = new AbortController().signal
/** CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP. */
const rights = [0, 1, 3, 4, 5, 6, 7, 10, 18, 31]
/** Tools of BusyBox. */
const wantNamespaces = 'unshare -U true 2>&1 || unshare -U -m true 2>&1 || echo up'
const noNamespaces = /: Operation not permitted\n[^]*: Operation not permitted\n[^]*up/

/** A folder whose Dockerfile has one step. */
async function* folderOf(step: string): AsyncGenerator<Uint8Array> {
  // Engines do not run a step again that they have run.
  const bytes = utf8(`FROM ${image}\nENV BUILD=${newHexId(random)}\nRUN ${step}\n`)
  const about = { name: 'Dockerfile', kind: 'file', sizeBytes: bytes.length } as const
  yield tarHeaders({ ...about, modifiedSeconds: 0 })
  yield bytes
  yield new Uint8Array(tarPaddingBytes(bytes.length))
  yield tarEnd
}

/** What the step prints. */
async function build(
  engine: TestEngine,
  step: string,
  options: Partial<ContainerExecutorOptions> = {},
  { signal, onLine }: { signal?: AbortSignal; onLine?: () => void } = {},
): Promise<string> {
  const storeId = newHexId(random)
  await using opened = await TestContainerExecutor.open(engine.socketPath, { ...options, storeId })
  const lines: string[] = []
  const take = (line: string): void => {
    lines.push(line)
    onLine?.()
  }
  const pipeline = parsePipelineName('built')
  const folder = { pipeline, archive: folderOf(step), onLine: take }
  try {
    await opened.executor.buildImage(folder, signal ?? never)
  } finally {
    expect(groupsOf(storeId)).toEqual([])
  }
  return lines.filter((line) => !line.includes('RUN')).join('\n')
}

function groupsOf(storeId: string): readonly string[] {
  const root = '/sys/fs/cgroup'
  const places = [root, ...readdirSync(root).map((name) => join(root, name))]
  return places.flatMap((place) => {
    try {
      return readdirSync(place).filter((name) => name.includes(storeId))
    } catch {
      return []
    }
  })
}

describe.skipIf(!canHavePodman())('a build by Podman', () => {
  let engine: PodmanEngine

  beforeAll(async () => {
    engine = await PodmanEngine.start()
    await engine.makeImage(image, busyboxImage)
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
  })

  test('has the network, the rights and the bounds of datums', async () => {
    const step =
      'cat /proc/net/dev; grep Cap /proc/self/status; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || :'
    const text = await build(engine, step, { network: 'none' })
    expect(text.match(/^ *\w+: /gm)).toEqual([expect.stringContaining('lo: ')])
    const bits = rights.reduce((sum, bit) => sum + 2 ** bit, 0)
    expect(text).toContain(`CapBnd:\t${bits.toString(16).padStart(16, '0')}`)
    const pageBytes = 4096
    expect(text).toContain(`${Math.floor(memoryForUserCode() / pageBytes) * pageBytes}`)
    expect(await build(engine, 'cat /proc/net/dev', { network: 'host' })).toMatch(/eth|ens|enp|wl/)
  })

  test('whose steps want user namespaces gets none', async () => {
    expect(await build(engine, wantNamespaces)).toMatch(noNamespaces)
  })

  test('that starts too many processes fails', async () => {
    const step = 'for n in $(seq 100); do sleep 1000 & done; wait'
    const bounds = { processCountMax: 50 }
    await expect(build(engine, step, { bounds })).rejects.toThrow(
      /could not be built: [^]*can't fork/,
    )
  })

  test('whose caller is gone, or that takes too long, leaves nothing that runs', async () => {
    const mark = `1000.${BigInt(`0x${newHexId(random)}`)}`
    const step = `echo up; sleep ${mark}`
    const abort = new AbortController()
    const aborted = build(engine, step, {}, { signal: abort.signal })
    const end = aborted.then(() => '', String)
    while (processesWith(`sleep\0${mark}`).length === 0) {
      expect(await Promise.race([end, clock.sleep(20)])).toBeUndefined()
    }
    abort.abort()
    await expect(aborted).rejects.toThrow(CancelledError)
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
    const late = build(engine, step, { buildMsMax: 3000 })
    await expect(late).rejects.toThrow(/took longer than 0.05 minutes, and was ended/)
    expect(processesWith(`sleep\0${mark}`)).toEqual([])
  })
})

test.skipIf(!canHaveDocker())(
  'a build by Docker has the network of datums, and no user namespaces',
  async () => {
    await using engine = await DockerEngine.start()
    await engine.makeImage(image, busyboxImage)
    const text = await build(engine, 'cat /proc/net/dev', { network: 'none' })
    expect(text.match(/^ *\w+: /gm)).toEqual([expect.stringContaining('lo: ')])
    expect(await build(engine, wantNamespaces)).toMatch(noNamespaces)
  },
)
