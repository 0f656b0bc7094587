import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { type MachineUser, ordinary, printed } from '../testing/changed-machine.ts'
import { serverScript } from '../testing/executor-script.ts'
import { sh } from '../testing/process-fixture.ts'
import { seenDirectory } from '../testing/seen-programs.ts'
import { leaveOut } from '../testing/left-out.ts'

const isRoot = process.geteuid?.() === 0

let home = ''

beforeEach(() => {
  home = mkdtempSync(join(seenDirectory, '.pachyderm-machines-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

/** A data directory of that name. */
function dataIn(name: string): string {
  const data = join(home, name)
  mkdirSync(data)
  if (isRoot) for (const path of [home, data]) chownSync(path, ordinary, ordinary)
  return data
}

const users: readonly MachineUser[] = isRoot ? ['root', 'ordinary'] : ['root']

for (const user of users) {
  describe(`on a machine of which ${user === 'root' ? 'root' : 'an ordinary user'} has the server`, () => {
    const end = `${user === 'root' ? 'root' : 'user'} 0`

    test('secrets are shown in directories that it does not have', () => {
      const secrets = ['/keys', '/var/keys', '/var/a b/c', '/etc/app', '/var/keys/below']
      const script = secrets
        .map((path) => `cat '${path}/key'; echo " $(ls -d '${path}')"`)
        .join('; ')
      const program = serverScript(dataIn('data'), sh(`${script}; (: >/var/new) 2>&-`), { secrets })
      expect(printed({ prepare: ':', home, user }, program)).toEqual([
        ...secrets.map((path) => `hush ${path}`),
        end.replace('0', '2'),
      ])
    })

    test('the data directory, and one beside it, have names of any kind', () => {
      const data = dataIn('a b\\c\td\n')
      const beside = join(home, 'x\ny\n')
      mkdirSync(beside)
      writeFileSync(join(beside, 'plain'), 'plain')
      writeFileSync(join(home, 'key'), 'hush')
      const hiddenPaths = [join(home, 'key')]
      const script = `cat '${beside}/plain' '${home}/key' 2>&-; echo; ls -A '${data}'`
      const program = serverScript(data, sh(script), { hiddenPaths })
      expect(printed({ prepare: ':', home, user }, program)).toEqual(['plain', end])
    })

    test('programs are only where a link in /run leads', () => {
      const programs = '/run/current-system/sw'
      const path = `${programs}/bin:${programs}/sbin`
      const prepare = `
        mount -t tmpfs mnt /mnt
        mkdir -p /mnt/store/sw /mnt/few
        mount --bind /usr /mnt/store/sw
        cp /usr/bin/env /bin/sh '${process.execPath}' /mnt/few
        mount -t tmpfs run /run
        ln -s /mnt/store /run/current-system
        mount -t tmpfs none /usr/local
        mount -t tmpfs other /usr/sbin
        mount --bind /mnt/few /usr/bin`
      const script = 'command -v sed; cd /usr/bin; echo *; PATH=/usr/bin:/bin; command -v sed'
      const program = serverScript(dataIn('data'), sh(script), { programPath: `${path}:/usr/bin` })
      expect(printed({ prepare, home, user, path }, program)).toEqual([
        `${programs}/bin/sed`,
        'env node sh',
        end.replace('0', '127'),
      ])
    })

    test('devices outside of /dev are out of reach, on what is read-only, too', (context) => {
      if (!isRoot) leaveOut(context, 'only root can make devices')
      const prepare = `
        mount -t tmpfs mnt /mnt
        mknod -m 666 /mnt/zero c 1 5
        mount -o remount,ro /mnt
        mount -t tmpfs srv /srv
        mknod -m 666 /srv/zero c 1 5`
      const script = 'for d in /mnt /srv /dev; do head -c1 $d/zero 2>&- | wc -c; done'
      const program = serverScript(dataIn('data'), sh(script))
      expect(printed({ prepare, home, user }, program)).toEqual(['0', '0', '1', end])
    })

    test.each([
      [
        'a link to a directory',
        'mkdir -m 1777 /mnt/t; ln -s /mnt/t /mnt/var/tmp; mount --bind -o nodev,noexec,noatime "$0" "$0"',
      ],
      [
        'a link to what is not shown',
        'mkdir /run/pachyderm-t; ln -s /run/pachyderm-t /mnt/var/tmp',
      ],
      ['a link to a part of /tmp', 'mkdir -p /tmp/t; ln -s /tmp/t /mnt/var/tmp'],
      ['a link to /tmp', 'ln -s ../tmp /mnt/var/tmp'],
      ['missing', ':'],
      [
        'in a directory that is a disk',
        'mkdir -m 1777 /mnt/var/tmp; mount --bind "$0" /mnt/var/tmp',
      ],
    ])('/var/tmp can be written to where it is %s', (_name, prepare) => {
      const machine = `
        mount -t tmpfs mnt /mnt
        mount -t tmpfs tmp /tmp
        mount -t tmpfs run /run
        mkdir -p /mnt/var/lib/app
        : >/mnt/var/lib/app/f
        ${prepare}
        mount --rbind /mnt/var /var`
      const script =
        'echo x >/var/tmp/x; cat /var/tmp/x; ls /var /var/lib/app; ' +
        '(: >/var/x) 2>&-; (: >/var/lib/app/f) 2>&-; (: >/mnt/t/x) 2>&-; stat -Lc %a /var/tmp'
      const program = serverScript(dataIn('data'), sh(script))
      expect(printed({ prepare: machine, home, user }, program)).toEqual([
        'x',
        '/var:',
        'lib',
        'tmp',
        '/var/lib/app:',
        'f',
        '1777',
        end,
      ])
    })
  })
}
