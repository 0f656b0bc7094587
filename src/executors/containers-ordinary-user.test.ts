import { execFile } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { canHaveDocker, DockerEngine } from '../testing/docker-engine.ts'
import { canHavePodman, PodmanEngine } from '../testing/podman-engine.ts'
import type { TestEngine } from '../testing/test-engine.ts'
import { busyboxImage } from '../testing/test-images.ts'

const execute = promisify(execFile)
const image = 'localhost/busybox:test'
const ordinaryUser = 54_321
const child = fileURLToPath(new URL('../testing/ordinary-user-child.ts', import.meta.url))
const rootless = fileURLToPath(new URL('../testing/rootless-podman.sh', import.meta.url))
const node = [process.execPath, '--disable-warning=ExperimentalWarning', child] as const
const apart = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'] as const
/** Nothing is left of what user code hid, and the slot whose own directories it gave away went on. */
const clean = {
  leftCount: 1,
  afterOpening: [],
  outputs: ['0 text', '0 text'],
  making: [1, expect.stringContaining('Operation not permitted')],
  afterEnding: [],
}

/** Others come through a directory of this user's, and those above it. */
function letThrough(directory: string): void {
  for (let path = directory; path !== dirname(path); path = dirname(path)) {
    const { mode } = statSync(path)
    if ((mode & 0o001) === 0) chmodSync(path, mode | 0o011)
  }
}

describe.skipIf(!canHavePodman())('an ordinary user runs containers', () => {
  let engine: PodmanEngine
  let directory = ''

  beforeAll(async () => {
    engine = await PodmanEngine.start()
    await engine.makeImage(image, busyboxImage)
    directory = mkdtempSync(join(tmpdir(), 'ordinary-'))
    letThrough(directory)
  })

  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]()
    if (directory !== '') rmSync(directory, { recursive: true, force: true })
    // Podman's own, for each user.
    rmSync(`/dev/shm/libpod_rootless_lock_${ordinaryUser}`, { force: true })
  })

  /** What an ordinary user finds of an engine that is root's. */
  async function runBy({ socketPath }: TestEngine): Promise<unknown> {
    const data = mkdtempSync(join(directory, 'data-'))
    chownSync(data, ordinaryUser, ordinaryUser)
    letThrough(dirname(socketPath))
    chmodSync(socketPath, 0o666)
    // Root's, too, but not for this user: in a closed directory, and closed by itself.
    const closed = mkdtempSync(join(directory, 'closed-'))
    const closedSocket = `${data}.sock`
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(closedSocket, resolve))
    chmodSync(closedSocket, 0o600)
    const sockets = [join(closed, 'engine.sock'), closedSocket, socketPath]
    const user = [`--reuid=${ordinaryUser}`, `--regid=${ordinaryUser}`, '--clear-groups']
    const command = [...user, '--inh-caps=-all', ...node, data, image, ...sockets]
    const { stdout } = await execute('setpriv', command).finally(() => server.close())
    return JSON.parse(stdout)
  }

  test('of an engine that is root’s', async () => {
    // What Podman mounts can be written to, and only root can see whether it was.
    const notice = expect.stringMatching(/^the code could change \/dev of its container, at which/)
    expect(await runBy(engine)).toMatchObject({ ...clean, notices: [notice] })
  })

  test.skipIf(!canHaveDocker())('of a Docker that is root’s, and keeps them', async () => {
    await using docker = await DockerEngine.start()
    await docker.makeImage(image, busyboxImage)
    expect(await runBy(docker)).toMatchObject({ ...clean, notices: [] })
  })

  test('of an engine of its own, whose limits of the older control groups are none', async () => {
    const own = join(directory, 'own')
    mkdirSync(own)
    engine.configure(own, join(own, 'home/graph'), join(own, 'run/containers'))
    const archive = join(own, 'image.tar')
    await engine.podman('save', '--format=oci-archive', '--output', archive, image)
    chmodSync(archive, 0o644)
    const data = [join(own, 'data'), image, join(own, 'run/engine.sock')]
    const command = [...apart, 'sh', rootless, own, archive, ...node, ...data]
    const { stdout } = await execute('unshare', command)
    const result: { readonly notices: readonly string[] } = JSON.parse(stdout)
    expect(result).toMatchObject(clean)
    const { stdout: facts } = await execute('stat', ['-fc', '%T', '/sys/fs/cgroup'])
    const limited = facts.trim() === 'cgroup2fs'
    expect(result.notices.filter((notice) => notice.includes('cannot limit it'))).toHaveLength(
      limited ? 0 : 2,
    )
  })
})
