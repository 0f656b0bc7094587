import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { putFiles } from '../../src/client/file-transfers.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { freePort } from '../harness/child-program.ts'
import { commitOf } from '../harness/files.ts'
import { canMount, Mounted } from '../harness/mounted.ts'
import { TestClient } from '../harness/test-pachd.ts'

interface Stage extends AsyncDisposable {
  readonly pachd: ChildPachd
  readonly mounted: Mounted
}

/** A server that can be killed, with a large file on `data`'s `master`, and a mount. */
async function setUp(): Promise<Stage> {
  await using opened = new AsyncDisposableStack()
  const directory = opened.use(await TemporaryDirectory.create())
  const pachd = opened.use(
    new ChildPachd(['--root', directory.join('data'), '--address', '127.0.0.1:0']),
  )
  const port = await pachd.ready
  const client = opened.use(new TestClient(port))
  await client.pfs.createRepo({ repo: { name: 'data' } })
  await client.pfs.startCommit({ parent: commitOf('data', ''), branch: 'master' })
  const puts = [{ path: 'large', bytes: seededBytes(1, 50_000_000) }]
  await putFiles(client.transport, { repo: 'data', id: 'master' }, puts)
  await client.pfs.finishCommit({ commit: commitOf('data', 'master') })
  const mounted = opened.use(await Mounted.start(port))
  const stack = opened.move()
  return { pachd, mounted, [Symbol.asyncDispose]: async () => stack.disposeAsync() }
}

/** A program that stands in the mount, until it is killed. */
async function visitor(mounted: Mounted): Promise<AsyncDisposable & { readonly pid: number }> {
  const child = spawn('sh', ['-c', 'echo here; exec sleep 60'], {
    cwd: `${mounted.path}/data/master`,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(child.stdout, 'data')
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'close')
      child.kill('SIGKILL')
      await ended
    },
  }
}

// Root and /dev/fuse are needed to mount.
describe.skipIf(!canMount && !peersRequired)('the life of a mount', () => {
  test('unmount ends it, and an interrupt does', async () => {
    await using stage = await setUp()
    const { mounted } = stage
    expect(await mounted.pachctl('unmount', mounted.path)).toEqual({ code: 0, out: '', err: '' })
    expect(await mounted.ended()).toBe(0)
    expect(await mounted.isListed()).toBe(false)
    expect((await mounted.pachctl('unmount', mounted.path)).err).toContain(
      'is not a mount of pachctl',
    )
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      await mounted.mount()
      await mounted.signal(signal)
      expect([signal, await mounted.ended(), await mounted.isListed()]).toEqual([signal, 0, false])
    }
  })

  test('one that is in use is not unmounted but by force, and an interrupt ends it all the same', async () => {
    await using stage = await setUp()
    const { mounted } = stage
    {
      await using inside = await visitor(mounted)
      expect(inside.pid).toBeGreaterThan(0)
      expect((await mounted.pachctl('unmount', mounted.path)).err).toContain('is in use')
      expect((await mounted.shell('ls', 'data/master')).out).toBe('large\n')
      await mounted.signal('SIGINT')
      expect([await mounted.ended(), await mounted.isListed()]).toEqual([0, false])
      expect(mounted.printed).toContain('was in use')
    }
    await mounted.mount()
    {
      await using inside = await visitor(mounted)
      expect(inside.pid).toBeGreaterThan(0)
      expect((await mounted.pachctl('unmount', '--force', mounted.path)).code).toBe(0)
      expect(await mounted.isListed()).toBe(false)
    }
    // The last one has gone.
    expect(await mounted.ended()).toBe(0)
  })

  test('a pachctl that was killed leaves a mount that fails at once, and that unmount clears, though it is in use', async () => {
    await using stage = await setUp()
    const { mounted } = stage
    await using inside = await visitor(mounted)
    expect(inside.pid).toBeGreaterThan(0)
    await mounted.signal('SIGKILL')
    expect((await mounted.shell('ls')).code).not.toBe(0)
    expect((await mounted.pachctl('mount', mounted.path)).err).toContain('run pachctl unmount')
    expect(await mounted.pachctl('unmount', mounted.path)).toEqual({ code: 0, out: '', err: '' })
    expect(await mounted.isListed()).toBe(false)
    await mounted.mount()
    expect((await mounted.shell('ls')).out).toBe('data\n')
  })

  test('where no server answers it says so at once, and has the files when one does', async () => {
    await using directory = await TemporaryDirectory.create()
    const port = await freePort()
    await using mounted = await Mounted.start(port)
    expect(mounted.printed).toMatch(
      /^pachctl mount: no pachd answers, and until one does there are no files: .*\nFilesystem mounted/,
    )
    const args = ['--root', directory.join('data'), '--address', `127.0.0.1:${port}`]
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    await client.pfs.createRepo({ repo: { name: 'late' } })
    expect(await mounted.shell('ls')).toEqual({ code: 0, out: 'late\n', err: '' })
  })

  test('when the server is killed nothing hangs', async () => {
    await using stage = await setUp()
    const { pachd, mounted } = stage
    const reading = mounted.shell(
      'cat large large large large > /dev/null; cat large',
      'data/master',
    )
    const [{ code, err }] = await Promise.all([
      reading,
      mounted.shell('head -c 1 large', 'data/master').then(() => pachd.signal('SIGKILL')),
    ])
    expect([code, err]).toEqual([1, expect.stringContaining('Input/output error')])
    expect((await mounted.shell('ls data')).err).toContain('Input/output error')
    expect((await mounted.pachctl('unmount', mounted.path)).code).toBe(0)
    expect(await mounted.ended()).toBe(0)
  })

  test('when the server says nothing more, waiting can be interrupted', async () => {
    await using stage = await setUp()
    const { pachd, mounted } = stage
    pachd.signal('SIGSTOP')
    const { code } = await mounted.shell('timeout -s INT 1 cat large', 'data/master')
    expect(code).not.toBe(0)
    expect((await mounted.pachctl('unmount', mounted.path)).code).toBe(0)
    expect(await mounted.ended()).toBe(0)
  })
})
