import { spawn, spawnSync, type SpawnSyncOptionsWithStringEncoding } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { newHexId, SystemRandom } from '../base/random.ts'
import type { Transform } from '../pipelines/executor.ts'
import { serverScript } from '../testing/executor-script.ts'
import { runIn, sh, transform } from '../testing/process-fixture.ts'
import { seenDirectory, SeenPrograms } from '../testing/seen-programs.ts'
import { listenApart, listenAt } from '../testing/unix-listener.ts'
import { hiddenPlaces } from './process/hidden-places.ts'
import {
  type Isolation,
  openProcessExecutor,
  type ProcessExecutor,
  usualProgramPath,
} from './process.ts'
import { isTested, leaveOut } from '../testing/left-out.ts'

const random = new SystemRandom()
const isRoot = process.geteuid?.() === 0
const never = new AbortController().signal
const nothingHidden = {
  hiddenDirectories: [],
  privateDirectories: [],
  hiddenPaths: [],
  engineSockets: [],
  engineStorage: [],
  programPath: usualProgramPath,
}

let programs: SeenPrograms
let shown = ''
let opened: AsyncDisposableStack

beforeAll(() => {
  programs = SeenPrograms.make()
})

afterAll(() => programs[Symbol.dispose]())

beforeEach(() => {
  shown = mkdtempSync(join(seenDirectory, '.pachyderm-sockets-'))
  opened = new AsyncDisposableStack()
  opened.defer(() => rmSync(shown, { recursive: true, force: true }))
})

afterEach(async () => {
  await opened.disposeAsync()
})

/** Tells of each socket what it says, or why it cannot be reached. */
function visitor(paths: readonly string[]): Transform {
  const script = `
    const visit = (path) => new Promise((resolve) => {
      const socket = require('net').connect(path)
      socket.on('data', (bytes) => resolve(String(bytes).trim()))
      socket.on('error', (error) => resolve(error.code))
    })
    const all = async () => { for (const path of ${JSON.stringify(paths)}) console.log(await visit(path)) }
    all()`
  return transform([programs.node, '-e', script])
}

async function open(
  isolation: Isolation,
  engineSockets: readonly string[] = [],
): Promise<ProcessExecutor> {
  const data = join(shown, 'data')
  mkdirSync(data)
  const executor = await openProcessExecutor({
    directory: join(data, 'scratch'),
    hiddenDirectories: [data],
    engineSockets,
    programPath: `${programs.directory}:${usualProgramPath}`,
    clock: new SystemClock(),
    random,
    isolation,
  })
  return opened.use(executor)
}

for (const isolation of ['root', 'user'] as const) {
  const describeHere = isolation === 'root' && !isTested(isRoot) ? describe.skip : describe
  describeHere(`from the sandbox of "${isolation}"`, () => {
    test('nobody of the machine is reached by a socket', async () => {
      const busy = join(shown, 'a busy\\place')
      mkdirSync(join(busy, 'd'), { recursive: true })
      writeFileSync(join(busy, 'f'), 'file')
      writeFileSync(join(busy, 'd/f'), 'file below')
      symlinkSync('d/f', join(busy, 'l'))
      const ofSystem = `/run/pachyderm-test-${newHexId(random)}`
      const sockets = [join(busy, 's'), join(busy, 'd/s'), ...(isRoot ? [ofSystem] : [])]
      for (const path of sockets) opened.use(await listenAt(path))
      mkdirSync(join(shown, 'renamed'))
      opened.use(await listenAt(join(shown, 'renamed/first')))
      renameSync(join(shown, 'renamed/first'), join(shown, 'renamed/s'))
      sockets.push(join(shown, 'renamed/s'))
      const executor = await open(isolation)
      await using slot = await executor.openSlot(visitor(sockets), never)
      expect((await runIn(slot)).stdout).toEqual(sockets.map(() => 'ENOENT'))
      // What else is there can be used.
      const script = `cd '${busy}'; ls -A; cat f d/f l; (echo x >f) 2>/dev/null; (: >new) 2>/dev/null; cat f; echo; ls /run/systemd`
      await using reader = await executor.openSlot(sh(script), never)
      const { stdout } = await runIn(reader)
      expect(stdout).toEqual(['d', 'f', 'l', 'filefile belowfile belowfile'])
    })

    test('neither is an engine that starts, nor a program that listens anew, while a slot is open', async () => {
      const [engine, other] = [join(shown, 'engine/s'), join(shown, 'other/s')] as const
      for (const directory of ['engine', 'other']) mkdirSync(join(shown, directory))
      const executor = await open(isolation, [engine])
      const first = await listenAt(other)
      await using slot = await executor.openSlot(visitor([engine, other]), never)
      opened.use(await listenAt(engine))
      await first[Symbol.asyncDispose]()
      opened.use(await listenAt(other))
      expect((await runIn(slot)).stdout).toEqual(['ENOENT', 'ENOENT'])
    })

    test('neither is who named its socket by a path that is not the one to it', async () => {
      for (const name of ['here/below', 'other']) mkdirSync(join(shown, name), { recursive: true })
      const raw = Buffer.concat([Buffer.from(`${shown}/`), Buffer.from([0xff, 0x20, 0x31])])
      mkdirSync(raw)
      const rawSocket = Buffer.concat([raw, Buffer.from('/s')])
      opened.use(await listenApart(rawSocket, {}))
      opened.use(await listenApart(`${shown}/other/a\nb`, {}))
      opened.use(await listenApart('s', { directory: join(shown, 'here') }))
      opened.use(await listenApart('../here/below/s', { directory: join(shown, 'other') }))
      const executor = await open(isolation)
      const script = `find '${shown}' ! -type d; find '${shown}' -type d | wc -l`
      await using slot = await executor.openSlot(sh(script), never)
      expect((await runIn(slot)).stdout).toEqual(['6'])
    })

    test('neither is who is in other namespaces of the network, of mounts, or another root', async (context) => {
      if (!isRoot) context.skip('only root can enter them')
      const names = ['network', 'volume', 'linked', 'root/dir']
      for (const name of names) mkdirSync(join(shown, name), { recursive: true })
      opened.use(await listenApart(join(shown, 'network/s'), { enter: ['unshare', '--net'] }))
      const machine = `
        mount -t tmpfs mnt /mnt
        mkdir /mnt/volume /mnt/linked
        mount --bind "$0/volume" /mnt/volume
        mount --bind "$0/linked" /mnt/linked
        ln -s /mnt/linked /mnt/link
        exec "$@"`
      const container = ['sh', '-ec', machine, shown]
      const enter = ['unshare', '--mount', ...container]
      const enterBoth = ['unshare', '--mount', '--net', ...container]
      opened.use(await listenApart('/mnt/volume/s', { enter }))
      opened.use(await listenApart('/mnt/link/s', { enter: enterBoth }))
      opened.use(await listenApart('/dir/s', { root: join(shown, 'root') }))
      const sockets = ['network/s', 'volume/s', 'linked/s', 'root/dir/s'].map((name) =>
        join(shown, name),
      )
      const executor = await open(isolation)
      await using slot = await executor.openSlot(visitor(sockets), never)
      expect((await runIn(slot)).stdout).toEqual(sockets.map(() => 'ENOENT'))
    })

    test('a directory of very many files is hidden with its socket', async () => {
      const crowded = join(shown, 'crowded')
      mkdirSync(crowded)
      for (let index = 0; index < 600; index += 1) writeFileSync(join(crowded, `f${index}`), '')
      opened.use(await listenAt(join(crowded, 's')))
      const executor = await open(isolation)
      await using slot = await executor.openSlot(sh(`ls -A '${crowded}'; echo end`), never)
      expect((await runIn(slot)).stdout).toEqual(['end'])
    })

    test('places that come and go while a slot opens keep none from opening', async () => {
      const script = `
        const { mkdirSync, rmSync } = require('fs')
        const { createServer } = require('net')
        const again = (index) => {
          const directory = process.argv[1] + '/passing-' + index
          mkdirSync(directory)
          const server = createServer().listen(directory + '/s', () => setTimeout(() => {
            rmSync(directory, { recursive: true })
            server.close()
            again(index + 40)
          }, 20 + (index * 7) % 61))
        }
        for (let index = 0; index < 40; index += 1) again(index)`
      const passers = spawn(process.execPath, ['-e', script, shown], { stdio: 'ignore' })
      opened.defer(async () => {
        passers.kill('SIGKILL')
        await once(passers, 'exit')
      })
      const executor = await open(isolation)
      for (let round = 0; round < 8; round += 1) {
        await using slot = await executor.openSlot(sh('echo open'), never)
        expect((await runIn(slot)).stdout).toEqual(['open'])
      }
    })

    test('of /run there is what programs are found by, and what resolves names', (context) => {
      if (!isRoot) leaveOut(context, 'only root can give the machine another /etc')
      const data = join(shown, 'data')
      mkdirSync(data)
      const script = 'cat /etc/resolv.conf; find /run /var/run | sort; readlink /run/system'
      const machine = `
        mount -t tmpfs run /run
        mkdir -p /run/systemd/resolve /run/var/run /run/var/tmp /run/etc /run/private
        echo nameserver 127.0.0.9 >/run/systemd/resolve/stub.conf
        : >/run/systemd/resolve/other
        : >/run/var/run/own
        ln -s /usr /run/system
        cp -a /etc/. /run/etc
        ln -sf ../run/systemd/resolve/stub.conf /run/etc/resolv.conf
        mount --bind /run/etc /etc
        mount --bind /run/var /var
        exec "$@"`
      const program = serverScript(data, sh(script), { isolation })
      const server = [process.execPath, '--input-type=module', '-e', program]
      const options: SpawnSyncOptionsWithStringEncoding = {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      }
      const { stdout } = spawnSync(
        'unshare',
        ['-m', 'sh', '-ec', machine, 'sh', ...server],
        options,
      )
      expect(stdout.split('\n')).toEqual([
        'nameserver 127.0.0.9',
        '/run',
        '/run/system',
        '/run/systemd',
        '/run/systemd/resolve',
        '/run/systemd/resolve/stub.conf',
        '/var/run',
        '/usr',
        `${isolation} 0`,
        '',
      ])
    })
  })
}

test('a socket that is reached by a link is one, where it is and where the link is', async () => {
  for (const name of ['there', 'links']) mkdirSync(join(shown, name))
  const [socket, link] = [join(shown, 'there/s'), join(shown, 'links/s')] as const
  opened.use(await listenAt(socket))
  symlinkSync(socket, link)
  const { coveredDirectories } = hiddenPlaces({
    ...nothingHidden,
    engineSockets: [link, '/nonexistent/s', '/tmp/s', '/s'],
  })
  expect(coveredDirectories.filter((path) => path.startsWith(shown))).toEqual([
    join(shown, 'links'),
    join(shown, 'there'),
  ])
  expect(coveredDirectories).not.toContain('/nonexistent')
  expect(coveredDirectories).not.toContain('/tmp')
  expect(coveredDirectories).not.toContain('/')
  const hidden = hiddenPlaces({
    ...nothingHidden,
    hiddenDirectories: [shown],
    engineSockets: [link],
  })
  expect(hidden.coveredDirectories).not.toContain(join(shown, 'links'))
})
