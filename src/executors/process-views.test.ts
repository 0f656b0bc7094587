import { chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type MachineUser, ordinary, printed } from '../testing/changed-machine.ts'
import { serverScript } from '../testing/executor-script.ts'
import { sh } from '../testing/process-fixture.ts'
import { seenDirectory } from '../testing/seen-programs.ts'
import { listenAt } from '../testing/unix-listener.ts'
import type { HiddenPlaces } from './process/hidden-places.ts'

const isRoot = process.geteuid?.() === 0
const homes = '/home'

let home = ''
let data = ''

beforeEach(() => {
  home = mkdtempSync(join(seenDirectory, '.pachyderm-views-'))
  data = join(home, 'data')
  for (const name of ['data/objects', 'data/disk', 'keys', 'backups']) {
    mkdirSync(join(home, name), { recursive: true })
  }
  for (const name of ['data/secrets', 'data/objects/pack', 'keys/key', 'backups/pack']) {
    writeFileSync(join(home, name), 'hush')
  }
  for (const name of ['plain', 'keys/plain']) writeFileSync(join(home, name), 'plain')
  if (isRoot) for (const path of [home, data]) chownSync(path, ordinary, ordinary)
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** What a datum prints on such a machine. */
function printedOn(prepare: string, script: string, user: MachineUser): readonly string[] {
  const hiddenPaths = ['keys/key', 'backups'].map((name) => join(home, name))
  return printed({ prepare, home, user }, serverScript(data, sh(script), { hiddenPaths }))
}

/** On such a machine, of which nothing but `hiddenPath` is to be hidden. */
function hiddenOn(prepare: string, hiddenPath: string, first = ''): HiddenPlaces {
  const program = `
    import { hiddenPlaces } from ${JSON.stringify(new URL('process/hidden-places.ts', import.meta.url).href)}
    ${first}
    console.log(JSON.stringify(hiddenPlaces({
      hiddenDirectories: [],
      privateDirectories: [],
      hiddenPaths: [${JSON.stringify(hiddenPath)}],
      engineSockets: [],
      engineStorage: [],
      programPath: '/bin',
    })))`
  return JSON.parse(printed({ prepare, home, user: 'root' }, program).join('\n')) as HiddenPlaces
}

for (const user of isRoot ? (['root', 'ordinary'] as const) : (['ordinary'] as const)) {
  describe(`a server of the user "${user}" shows`, () => {
    // An ordinary user cannot change its machine but in a user namespace, as its root.
    const as = isRoot ? user : 'root'
    const end = `${user === 'root' || !isRoot ? 'root' : 'user'} 0`

    test.each([
      [
        'of the disk',
        'mkdir "/mnt/a b"; mount --bind / "/mnt/a b"',
        (path: string) => `/mnt/a b${path}`,
      ],
      ['of the machine', 'mount --rbind / /mnt', (path: string) => `/mnt${path}`],
      ['of what is above the data directory', 'mount --bind "$0" /mnt', () => '/mnt'],
      ['of a view', 'mount --bind "$0" /srv; mount --rbind /srv /mnt', () => '/mnt'],
    ])('nothing hidden in a view %s', (_name, prepare, viewOf) => {
      const view = viewOf(home)
      const machine = `mount -t tmpfs mnt /mnt\n${prepare}`
      const script = `find '${view}' -type f -o -type p | sort`
      expect(printedOn(machine, script, as)).toEqual([
        join(view, 'keys/plain'),
        join(view, 'plain'),
        end,
      ])
    })

    test.each([
      ['of the data directory', 'mount --bind "$0/data" /mnt'],
      ['of a part of it', 'mount --bind "$0/data/objects" /mnt'],
      [
        'of a file in it',
        'mount -t tmpfs mnt /mnt; : >/mnt/f; mount --bind "$0/data/secrets" /mnt/f',
      ],
      ['of a key', 'mount -t tmpfs mnt /mnt; : >/mnt/f; mount --bind "$0/keys/key" /mnt/f'],
      [
        'of a disk that is mounted in it',
        'mount -t tmpfs disk "$0/data/disk"; : >"$0/data/disk/f"; mount --bind "$0/data/disk" /mnt',
      ],
      ['of backups', 'mount --bind "$0/backups" /mnt'],
      [
        'of the data directory at a path that is not UTF-8',
        `mount -t tmpfs mnt /mnt; for path in $(printf '/mnt/\\377x /mnt/\\303\\201'); do mkdir $path; mount --bind "$0/data" $path; done`,
      ],
      [
        'of the data directory at a path with a blank before digits',
        'mount -t tmpfs mnt /mnt; mkdir "/mnt/a 1"; mount --bind "$0/data" "/mnt/a 1"',
      ],
      [
        'of memory that is shared',
        'mount -t tmpfs shm /dev/shm; : >/dev/shm/f; mount --bind /dev/shm /mnt',
      ],
    ])('nothing of a view %s', (_name, prepare) => {
      expect(printedOn(prepare, 'find /mnt ! -type d', as)).toEqual([end])
    })

    test.each([
      ['engines say that they keep', false],
      ['settings say that engines keep', true],
    ])('nothing that %s, but what the machine mounts there from elsewhere', (_name, isSet) => {
      const settings = join(data, 'storage.conf')
      writeFileSync(settings, `graphroot = "${join(home, 'keys')}"\n`)
      const prepare = `
        mkdir "$0/keys/volume"
        mount --bind "$0/backups" "$0/keys/volume"
        mkdir "$0/view"
        mount --bind "$0/keys" "$0/view"`
      const script = sh(`find '${home}' ! -type d`)
      const options = isSet
        ? { engineVariables: { CONTAINERS_STORAGE_CONF: settings } }
        : { engineStorage: [join(home, 'keys'), '/nonexistent'] }
      const shown = [...['plain', 'backups/pack'].map((name) => join(home, name)), end]
      const found = printed({ prepare, home, user: as }, serverScript(data, script, options))
      expect(found.toSorted()).toEqual(shown.toSorted())
    })

    test('no key in a view at a path that is not UTF-8', () => {
      const prepare = `
        mount -t tmpfs mnt /mnt
        path=$(printf '/mnt/\\377x')
        mkdir $path
        mount --bind "$0/keys" $path`
      expect(printedOn(prepare, 'find /mnt -type f -printf "%f\\n"', as)).toEqual(['plain', end])
    })

    test('no socket in a view of where it is, or of itself', async () => {
      mkdirSync(join(home, 'open'))
      writeFileSync(join(home, 'open/plain'), 'plain')
      await using listeners = new AsyncDisposableStack()
      for (const name of ['open/s', 'first']) listeners.use(await listenAt(join(home, name)))
      renameSync(join(home, 'first'), join(home, 'renamed'))
      const prepare = `
        mkdir "$0/view"
        mount --bind "$0/open" /mnt
        mount --bind "$0" "$0/view"
        mount -t tmpfs srv /srv
        : >/srv/s
        mount --bind "$0/open/s" /srv/s`
      const script = `find /mnt /srv ! -type d; find ${home} ! -type d | sort`
      const shown = ['keys/plain', 'open/plain', 'plain']
      expect(printedOn(prepare, script, as)).toEqual([
        '/mnt/plain',
        ...[...shown, ...shown.map((name) => `view/${name}`)].map((name) => join(home, name)),
        end,
      ])
    })

    test('nothing of the machine that the sandbox has of its own', () => {
      const prepare = 'mount --rbind / /mnt; mount -t proc other /srv'
      const script = 'find /mnt/proc /mnt/dev /mnt/run /mnt/tmp /mnt/home /mnt/root /srv ! -type d'
      expect(printedOn(prepare, script, as)).toEqual([end])
    })

    test('a view of all homes only where programs are looked for in it', () => {
      const prepare = `
        mount -t tmpfs home ${homes}
        mkdir -p ${homes}/bin
        : >${homes}/bin/f
        mount --bind ${homes} /srv
        mount --bind ${homes} /mnt`
      const script = sh('find /home /srv /mnt ! -type d')
      const program = serverScript(data, script, { programPath: '/srv/bin:/usr/bin:/bin' })
      expect(printed({ prepare, home, user: as }, program)).toEqual(['/srv/bin/f', end])
    })

    test('what the machine shows of its temporary files and homes on purpose', () => {
      const prepare =
        'mount -t tmpfs run /run; mkdir /run/shown; echo run >/run/shown/f; mount --bind /run/shown /mnt\n' +
        `mount -t tmpfs home ${homes}; mkdir ${homes}/shown; echo home >${homes}/shown/f; mount --bind ${homes}/shown /srv`
      expect(printedOn(prepare, 'cat /mnt/f /srv/f; ls /home', as)).toEqual(['run', 'home', end])
    })
  })
}

test('a file that comes later is left out of a view, too', () => {
  const { coveredDirectories, leftOut } = hiddenOn(
    'mount --bind "$0" /mnt',
    join(home, 'keys/later'),
  )
  expect(leftOut).toEqual([join(home, 'keys/later'), '/mnt/keys/later'])
  expect(coveredDirectories).toContain('/mnt/keys')
})

test('sockets are found where /proc shows nothing but processes', () => {
  const prepare = `
    mkdir "$0/open"
    mount -t proc -o subset=pid proc /proc
    exec unshare --net "$@"`
  const listen = `
    import { once } from 'node:events'
    import { createServer } from 'node:net'
    const server = createServer().listen(${JSON.stringify(join(home, 'open/s'))}).unref()
    await once(server, 'listening')`
  const { coveredDirectories } = hiddenOn(prepare, '/none/of/these', listen)
  expect(coveredDirectories).toContain(join(home, 'open'))
})
