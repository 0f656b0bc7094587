import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import { seededBytes } from '../../src/testing/seeded-random.ts'
import { peersRequired } from '../../src/testing/left-out.ts'
import { freshRepo } from '../harness/expectations.ts'
import { collect, commitFiles, commitOf, fileOf, getPieces } from '../harness/files.ts'
import { canMount, type Ended, Mounted } from '../harness/mounted.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const done = (out: string): Ended => ({ code: 0, out, err: '' })

// Root and /dev/fuse are needed to mount.
describe.skipIf(!canMount && !peersRequired)('files in a mount', () => {
  let pachd: TestPachd
  let mounted: Mounted

  beforeAll(async () => {
    pachd = await TestPachd.start()
    mounted = await Mounted.start(pachd.port)
  })

  afterAll(async () => {
    await mounted[Symbol.asyncDispose]()
    await pachd[Symbol.asyncDispose]()
  })

  async function openRepo(files: Readonly<Record<string, string>> = {}): Promise<string> {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { kept: 'old\n', ...files })
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    return repo
  }

  async function stored(repo: string, path: string): Promise<string> {
    const pieces = await getPieces(pachd, fileOf(repo, 'master', path))
    return Buffer.concat(pieces).toString()
  }

  test('repos, branches and commits are directories, and files are read as they are', async () => {
    const repo = await freshRepo(pachd)
    const files = { a: '1\n', 'd/*[b]?': '2\n', 'd/ü x': '' }
    const id = await commitFiles(pachd, { repo, branch: 'master' }, files)
    expect((await mounted.shell('ls')).out.split('\n')).toContain(repo)
    expect(await mounted.shell('ls', repo)).toEqual(
      done([id, 'master', ''].toSorted().join('\n').trimStart() + '\n'),
    )
    for (const name of ['master', id]) {
      const inside = `${repo}/${name}`
      expect(await mounted.shell('find . | sort', inside)).toEqual(
        done('.\n./a\n./d\n./d/*[b]?\n./d/ü x\n'),
      )
      expect(await mounted.shell('cat a d/*', inside)).toEqual(done('1\n2\n'))
      expect(await mounted.shell('grep -r 2 .', inside)).toEqual(done('./d/*[b]?:2\n'))
      expect(await mounted.shell("stat -c '%A %s' . a d", inside)).toEqual(
        done('dr-xr-xr-x 0\n-r--r--r-- 2\ndr-xr-xr-x 0\n'),
      )
    }
    expect(await mounted.shell('cat master^/a', repo)).toMatchObject({ code: 1 })
    await commitFiles(pachd, { repo, branch: 'master' }, { a: 'more\n' })
    expect(await mounted.shell('cat master^/a', repo)).toEqual(done('1\n'))
  })

  test('finished commits are read-only, and nothing is made above commits', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1' })
    const inside = `${repo}/master`
    for (const line of [
      'echo x > b',
      'echo x >> a',
      'rm a',
      'mkdir d',
      'mv a b',
      'truncate -s 0 a',
    ]) {
      const { code, err } = await mounted.shell(line, inside)
      expect([line, code === 0, err]).toEqual([
        line,
        false,
        expect.stringContaining('Read-only file system'),
      ])
    }
    expect((await mounted.shell('mkdir x')).err).toContain('Operation not permitted')
    expect((await mounted.shell('mkdir x', repo)).err).toContain('Operation not permitted')
    expect((await mounted.shell('ls nothing', inside)).err).toContain('No such file or directory')
    expect(await stored(repo, 'a')).toBe('1')
  })

  test('a large file is read whole, from any place, and by many at once', async () => {
    const repo = await freshRepo(pachd)
    const bytes = seededBytes(7, 30_000_001)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    await putFiles(pachd.transport, { repo, id: 'master' }, [{ path: 'large', bytes }])
    await pachd.pfs.finishCommit({ commit: commitOf(repo, 'master') })
    const inside = `${repo}/master`
    const hash = createHash('sha256').update(bytes).digest('hex')
    expect(
      await mounted.shell('for n in 1 2 3 4; do sha256sum large & done; wait', inside),
    ).toEqual(done(`${hash}  large\n`.repeat(4)))
    const sum = createHash('sha256').update(bytes.subarray(17_000_000, 17_000_500)).digest('hex')
    const direct = 'dd if=large bs=500 skip=34000 count=1 status=none | sha256sum'
    expect(await mounted.shell(direct, inside)).toEqual(done(`${sum}  -\n`))
    expect(await mounted.shell('tail -c 3 large | wc -c', inside)).toEqual(done('3\n'))
  })

  test('a directory of 100,000 files is listed, with and without what is known of each', async () => {
    const repo = await freshRepo(pachd)
    await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
    const puts = Array.from({ length: 100_000 }, (_, at) => ({
      path: `d/${String(at).padStart(6, '0')}`,
      bytes: utf8('x'),
    }))
    await putFiles(pachd.transport, { repo, id: 'master' }, puts)
    await pachd.pfs.finishCommit({ commit: commitOf(repo, 'master') })
    const inside = `${repo}/master/d`
    expect(await mounted.shell('ls -f | wc -l', inside)).toEqual(done('100002\n'))
    expect(await mounted.shell('ls -l | tail -n 1 | cut -c 1-10', inside)).toEqual(
      done('-r--r--r--\n'),
    )
    await using watched = await Mounted.start(pachd.port, '--debug')
    expect(await watched.shell('find . -type f -size 1 | sort -u | wc -l', inside)).toEqual(
      done('100000\n'),
    )
    // It looks at each after it has read all: what the list said is still good by then.
    expect(watched.printed.match(/"kind":"lookup"/g)?.length).toBeLessThan(2000)
    // From the middle, and again from the start.
    expect(await mounted.shell('ls | head -n 60000 | tail -n 1; ls | head -n 1', inside)).toEqual(
      done('059999\n000000\n'),
    )
  })

  test('what is written to an open commit is in it when it is closed', async () => {
    const repo = await openRepo()
    const inside = `${repo}/master`
    expect(await mounted.shell('echo one > new && cat new', inside)).toEqual(done('one\n'))
    expect(await mounted.shell('echo two | tee -a new kept', inside)).toEqual(done('two\n'))
    expect(await mounted.shell('(echo 1; /bin/echo 2; echo 3) > many && cat many', inside)).toEqual(
      done('1\n2\n3\n'),
    )
    expect(await mounted.shell(': > empty && truncate -s 0 many && touch kept', inside)).toEqual(
      done(''),
    )
    expect(await mounted.shell('cp new kept && sed -i s/one/ONE/ kept', inside)).toEqual(done(''))
    expect(await stored(repo, 'new')).toBe('one\ntwo\n')
    expect(await stored(repo, 'kept')).toBe('ONE\ntwo\n')
    expect(await stored(repo, 'many')).toBe('')
    expect(await stored(repo, 'empty')).toBe('')
    await pachd.pfs.finishCommit({ commit: commitOf(repo, 'master') })
    expect(await stored(repo, 'kept')).toBe('ONE\ntwo\n')
  })

  test('a commit that was started a moment ago can be written', async () => {
    const repo = await freshRepo(pachd)
    await commitFiles(pachd, { repo, branch: 'master' }, { a: '1', b: '1', c: '1' })
    const start = `cat a b c && "$PACHCTL" start-commit ${repo} master > /dev/null`
    const writes = 'echo 2 > new && echo 2 >> a && truncate -s 0 b && rm c && cat new a && ls'
    expect(await mounted.shell(`${start} && ${writes}`, `${repo}/master`)).toEqual(
      done('1112\n12\na\nb\nnew\n'),
    )
  })

  test('trees are copied in and out, moved and removed', async () => {
    const repo = await openRepo({ 'tree/a': '1', 'tree/b/c': seededBytes(3, 10).join('\n') })
    const inside = `${repo}/master`
    const lines = [
      'cp -r tree copy && diff -r tree copy',
      'mkdir made && cp -a tree made/ && diff -r tree made/tree',
      'mv copy moved && mv moved/a moved/z && test ! -e copy && test -e moved/z',
      'rm -r tree && test ! -e tree && mkdir -p e/f && rmdir e/f e',
      'tar cf - moved | (mkdir t && tar xf - -C t) && diff -r moved t/moved',
    ]
    for (const line of lines)
      expect([line, await mounted.shell(line, inside)]).toEqual([line, done('')])
    await pachd.pfs.finishCommit({ commit: commitOf(repo, 'master') })
    const found = await collect(
      pachd.files.globFiles({ commit: commitOf(repo, 'master'), pattern: '*' }),
    )
    const paths = found.flatMap(({ fileInfo }) => fileInfo.map(({ file }) => file?.path))
    expect(paths).toEqual(['/kept', '/made', '/moved', '/t'])
  })

  test('what cannot be done is refused, and changes nothing', async () => {
    const repo = await openRepo({ 'd/a': '123' })
    const inside = `${repo}/master`
    const rows = [
      ['printf x | dd of=d/a bs=1 seek=1 conv=notrunc', 'not supported'],
      ['truncate -s 2 d/a', 'not supported'],
      ['rmdir d', 'not empty'],
      ['mv -T kept d', 'directory'],
      ['mkdir d', 'exists'],
      ['touch "$(printf \'\\377\')"', 'nvalid or incomplete multibyte'],
    ] as const
    for (const [line, text] of rows) {
      expect([line, (await mounted.shell(line, inside)).err]).toEqual([
        line,
        expect.stringContaining(text),
      ])
    }
    expect(await stored(repo, 'd/a')).toBe('123')
    expect(await stored(repo, 'kept')).toBe('old\n')
  })

  test('a large file that is written while it is read elsewhere arrives whole', async () => {
    const repo = await openRepo()
    const inside = `${repo}/master`
    const line =
      'head -c 20000000 /dev/urandom > /tmp/$$ && cp /tmp/$$ a && cp a b && cmp /tmp/$$ b; rm /tmp/$$'
    expect(await mounted.shell(line, inside)).toEqual(done(''))
    const { sizeBytes } = await pachd.pfs.inspectFile({ file: fileOf(repo, 'master', 'b') })
    expect(sizeBytes).toBe(20_000_000n)
  })
})
