import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { collectBytes, utf8 } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { CancelledError, DataLossError } from '../base/errors.ts'
import { parseFilePath } from '../base/paths.ts'
import { SystemRandom } from '../base/random.ts'
import { type Isolation, openProcessExecutor, type ProcessExecutor } from '../executors/process.ts'
import type { DatumOutcome, DatumWorker, WorkMember } from '../pipelines/datum-worker.ts'
import { type LogLine, StillWrittenError, type Transform } from '../pipelines/executor.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { type DirectoryEntry, FileTrees, type TreeEdit } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { SlotWorkers } from './slot-workers.ts'

const clock = new SystemClock()
const never = new AbortController().signal
const place = async (): Promise<Disposable> => ({ [Symbol.dispose]: () => {} })
const isolations: readonly (Isolation | undefined)[] = [undefined, 'none']

function sh(script: string, more: Partial<Transform> = {}): Transform {
  return {
    image: '',
    command: ['sh', '-c', script],
    stdinLines: [],
    environment: {},
    acceptedReturnCodes: [],
    ...more,
  }
}

async function run(worker: DatumWorker, given: WorkMember): Promise<DatumOutcome> {
  return await worker.process({
    members: [given],
    environment: {},
    onLine: () => {},
    onLeftOut: () => {},
    place,
    signal: never,
  })
}

describe.each(isolations)('a worker (isolation %s)', (isolation) => {
  const chunks = new MemoryChunkStore()
  const contents = new ChunkedContents(chunks)
  const trees = new FileTrees(chunks)
  let data = ''
  let executor: ProcessExecutor
  let workers: SlotWorkers

  beforeEach(async () => {
    data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-worker-'))
    executor = await openProcessExecutor({
      directory: join(data, 'scratch'),
      hiddenDirectories: [data],
      clock,
      random: new SystemRandom(),
      ...(isolation === undefined ? {} : { isolation }),
    })
    const inputCache = { directory: join(data, 'inputs'), bytesMax: 1_000_000 }
    workers = new SlotWorkers({ executor, trees, contents, clock, inputCache })
  })

  afterEach(async () => {
    await executor[Symbol.asyncDispose]()
    rmSync(data, { recursive: true, force: true })
  })

  async function member(input: string, path: string, text: string): Promise<WorkMember> {
    const content = await contents.writeBytes(utf8(text))
    return { input, path: parseFilePath(path), entry: { kind: 'file', content } }
  }

  async function process(
    transform: Transform,
    members: readonly WorkMember[],
    more: {
      readonly onLine?: (line: LogLine) => void
      readonly signal?: AbortSignal
      readonly formerOutput?: DirectoryEntry
    } = {},
  ): Promise<DatumOutcome> {
    await using worker = await workers.open(transform, never)
    return await worker.process({
      members,
      formerOutput: more.formerOutput,
      environment: { PACH_JOB_ID: 'job' },
      onLine: more.onLine ?? (() => {}),
      onLeftOut: () => {},
      place,
      signal: more.signal ?? never,
    })
  }

  async function textAt(outcome: DatumOutcome, path: string): Promise<string | undefined> {
    if (outcome.kind !== 'success') throw new Error(outcome.reason)
    const entry = await trees.get(outcome.output, parseFilePath(path))
    if (entry?.kind !== 'file') return undefined
    return Buffer.from(await collectBytes(contents.read(entry.content), 1e6)).toString()
  }

  test('shows each member at its whole path, and stores what the command leaves', async () => {
    const outcome = await process(
      sh(
        'cd "$PFS"; cat left/a/b.txt "right/c d" >"out/joined"; ls >out/list; echo "$PACH_JOB_ID"',
      ),
      [await member('left', '/a/b.txt', 'one\n'), await member('right', '/c d', 'two\n')],
    )
    expect(await textAt(outcome, '/joined')).toBe('one\ntwo\n')
    expect(await textAt(outcome, '/list')).toBe('left\nout\nright\n')
    expect(outcome).toMatchObject({
      kind: 'success',
      output: { fileCount: 2, sizeBytes: 23 },
      stats: { downloadBytes: 8, uploadBytes: 23 },
    })
  })

  test('shows each datum its own files, whatever those before it had, and keeps what they put out', async () => {
    const show =
      'cd "$PFS/in"; for f in *; do echo "$f=$(cat "$f")"; done >../out/seen; ln -s "$PFS/in/$1" ../out/kept'
    await using worker = await workers.open(
      { ...sh(''), command: ['sh', '-c', show, 'sh', 'same'] },
      never,
    )
    const outcomes: DatumOutcome[] = []
    const datums = [
      { same: 'a text', b: 'another' },
      { same: '', c: 'short' },
      { same: 'the longest text of all', b: 'b', d: 'new' },
    ]
    for (const files of datums) {
      const members = Object.entries(files).map(([name, text]) => member('in', `/${name}`, text))
      outcomes.push(
        await worker.process({
          members: await Promise.all(members),
          environment: {},
          onLine: () => {},
          onLeftOut: () => {},
          place,
          signal: never,
        }),
      )
    }
    for (const [index, files] of datums.entries()) {
      const outcome = outcomes[index]
      if (outcome === undefined) throw new Error('each datum has an outcome')
      const seen = Object.entries(files).map(([name, text]) => `${name}=${text}\n`)
      expect(await textAt(outcome, '/seen')).toBe(seen.toSorted().join(''))
      expect(await textAt(outcome, '/kept')).toBe(files.same)
    }
  })

  /** 15 directories of 100 files of 4 bytes. */
  async function manyFiles(): Promise<DirectoryEntry> {
    const empty = await trees.emptyRoot()
    const content = await contents.writeBytes(utf8('text'))
    const edits = Array.from({ length: 1500 }, (_, index): TreeEdit => {
      const number = String(index).padStart(4, '0')
      return {
        path: parseFilePath(`/d${number.slice(0, 2)}/f${number}`),
        entry: { kind: 'file', content },
      }
    })
    return await trees.edit(empty, edits, { emptied: 'keep' })
  }

  test('shows what was output before, and reads of it only what is touched', async () => {
    const formerOutput = await manyFiles()
    const kept = await process(sh('ls "$PFS/out" | wc -l >&2'), [], { formerOutput })
    expect(kept).toMatchObject({
      output: { root: formerOutput.root },
      stats: { downloadBytes: 6000, uploadBytes: 0 },
    })
    const script = 'cd "$PFS/out"; rm -r d0*; echo more >>d10/f1000; cat d10/f1000 >new'
    const changed = await process(sh(script), [], { formerOutput })
    expect(await textAt(changed, '/new')).toBe('textmore\n')
    expect(await textAt(changed, '/d10/f1000')).toBe('textmore\n')
    expect(changed).toMatchObject({ output: { fileCount: 501 }, stats: { uploadBytes: 18 } })
    const bare = await process(sh('ls "$PFS/out" >"$PFS/out/list"'), [])
    expect(await textAt(bare, '/list')).toBe('list\n')
  })

  test('says in a variable of its name where each input is, but takes no variable away', async () => {
    const names = ['left', 'PATH', 'HOME', 'LD_PRELOAD', 'PACH_JOB_ID', 'a=b', 'MINE']
    const members = await Promise.all(names.map((name) => member(name, '/d/f', '')))
    const outcome = await process(
      sh('env | grep -v ^PFS | grep -e /d/f -e ^MINE | sed "s#$PFS#pfs#" | sort >"$PFS/out/env"', {
        environment: { MINE: 'own' },
      }),
      [...members, { input: 'all', path: parseFilePath('/'), entry: await trees.emptyRoot() }],
    )
    expect(await textAt(outcome, '/env')).toBe('MINE=own\nleft=pfs/left/d/f\n')
  })

  test('shows a tree of many files, and takes it back', async () => {
    const entry = await manyFiles()
    const all: WorkMember = { input: 'in', path: parseFilePath('/'), entry }
    const copied = await process(sh('cp -r "$PFS/in/." "$PFS/out/"'), [all])
    expect(copied).toMatchObject({ kind: 'success', output: entry, stats: { uploadBytes: 6000 } })
    const linked = await process(sh('ln -s "$PFS/in/d07" "$PFS/out/l"'), [all])
    expect(linked).toMatchObject({ output: { fileCount: 100 }, stats: { uploadBytes: 0 } })
  })

  test('writes a large input once for many datums, where they cannot change it', async () => {
    const text = 'large\n'.repeat(100_000)
    const large = await member('in', '/d/f', text)
    const small = await member('in', '/g', 'small')
    const script =
      'stat -c %i "$PFS/in/d/f" >"$PFS/out/inode"; ln -s "$PFS/in/d/f" "$PFS/out/l"; ' +
      'echo broken 2>/dev/null >>"$PFS/in/d/f"; :'
    await using one = await workers.open(sh(script), never)
    await using other = await workers.open(sh(script), never)
    const inodes: (string | undefined)[] = []
    for (const [worker, input] of [
      [one, large],
      [one, small],
      [other, large],
      [one, large],
    ] as const) {
      const outcome = await run(worker, input)
      if (input !== large) continue
      inodes.push(await textAt(outcome, '/inode'))
      const isWhole = (await textAt(outcome, '/l')) === text
      expect(isWhole).toBe(isolation === undefined)
    }
    // A file system may give a copy the number of the one before.
    expect(new Set(inodes).size === 1 || isolation !== undefined).toBe(true)
    expect(readdirSync(join(data, 'inputs')).length).toBe(isolation === undefined ? 1 : 0)
  })

  test('reads lazy inputs when they are opened, from the beginning each time', async () => {
    const large = await member('lazy', '/d/large', 'large\n'.repeat(120_000))
    const files = [
      { ...large, isLazy: true },
      { ...(await member('never', '/f', 'not read')), isLazy: true },
      await member('plain', '/f', 'plain'),
    ]
    const script =
      'cd "$PFS"; [ -p lazy/d/large ] && [ -p never/f ] && [ -f plain/f ] || exit 3; ' +
      'head -n 1 lazy/d/large; sum=$(md5sum <lazy/d/large); : <lazy/d/large; ' +
      '[ "$(md5sum <"$lazy")" = "$sum" ] && echo same; echo "$sum"; ln -s "$PFS/never/f" out/l; ' +
      'ln -s "$PFS/lazy" out/all'
    const lines: string[] = []
    const outcome = await process(sh(script), files, { onLine: ({ text }) => lines.push(text) })
    const md5 = createHash('md5').update('large\n'.repeat(120_000)).digest('hex')
    expect(lines).toEqual(['large', 'same', `${md5}  -`])
    expect(await textAt(outcome, '/l')).toBe('not read')
    expect(await textAt(outcome, '/all/d/large')).toBe('large\n'.repeat(120_000))
    const readBytes = outcome.stats.downloadBytes
    expect(readBytes).toBeGreaterThan(2 * 720_000)
    expect(readBytes).toBeLessThan(4 * 720_000)
    expect(outcome.stats.uploadBytes).toBe(0)
  })

  test('a lazy input of many files serves whoever opens some of them, many at once', async () => {
    const all: WorkMember = {
      input: 'in',
      path: parseFilePath('/'),
      entry: await manyFiles(),
      isLazy: true,
    }
    const script =
      'cd "$PFS/in"; cat d14/f1499 d00/f0000; cat d0[0-2]/* | wc -c; ' +
      'exec 3<d05/f0500 4<d05/f0501 5<d05/f0502; cat <&5 <&4; cat <&3; ls | wc -l'
    const lines: string[] = []
    const outcome = await process(sh(script), [all], { onLine: ({ text }) => lines.push(text) })
    expect(outcome.kind).toBe('success')
    expect(lines).toEqual(['texttext1200', 'texttext15'])
    expect(outcome.stats.downloadBytes).toBeLessThan(1300)
  })

  test('a lazy pipe that is copied instead of what is in it makes the datum fail', async () => {
    const given = { ...(await member('in', '/f', 'text')), isLazy: true }
    const outcome = await process(sh('cp -a "$PFS/in/f" "$PFS/out/f"'), [given])
    expect(outcome.kind === 'failure' && outcome.reason).toMatch(/special file \(a named pipe\)/)
  })

  test('a lazy input that is damaged fails the try, not the code', async () => {
    // Of another store.
    const elsewhere = new ChunkedContents(new MemoryChunkStore())
    const content = await elsewhere.writeBytes(Buffer.alloc(100_000, 'lost'))
    const broken: WorkMember = {
      input: 'in',
      path: parseFilePath('/f'),
      entry: { kind: 'file', content },
      isLazy: true,
    }
    await expect(process(sh('cat "$PFS/in/f" >"$PFS/out/f"'), [broken])).rejects.toThrow(
      DataLossError,
    )
  })

  test('a datum that is cancelled lets go of readers that never read', async () => {
    const given = { ...(await member('in', '/f', 'x'.repeat(1_000_000))), isLazy: true }
    const abort = new AbortController()
    const script = 'exec 3<"$PFS/in/f"; echo opened; sleep 1000'
    const onLine = (): void => abort.abort()
    const running = process(sh(script), [given], { onLine, signal: abort.signal })
    await expect(running).rejects.toThrow(CancelledError)
  })

  test('keeps nothing of a command that failed, and says its code', async () => {
    const outcome = await process(sh('echo x >"$PFS/out/f"; exit 3'), [])
    expect(outcome).toMatchObject({ kind: 'failure', reason: 'user code ended with exit code 3' })
  })

  test('takes an accepted code for success', async () => {
    const script = 'echo x >"$PFS/out/f"; exit 3'
    const outcome = await process(sh(script, { acceptedReturnCodes: [2, 3] }), [])
    expect(await textAt(outcome, '/f')).toBe('x\n')
  })

  test('a datum whose files others write to after its end fails, and the next one gets another slot', async () => {
    const openSlot = executor.openSlot.bind(executor)
    const opening = vi.spyOn(executor, 'openSlot').mockImplementationOnce(async (...args) => {
      const slot = await openSlot(...args)
      vi.spyOn(slot, 'reset').mockRejectedValueOnce(new StillWrittenError())
      return slot
    })
    await using worker = await workers.open(sh('echo text >"$PFS/out/f"'), never)
    const given = await member('in', '/f', 'text')
    expect(await run(worker, given)).toMatchObject({
      kind: 'failure',
      reason: expect.stringMatching(
        /^the files of the datum cannot be removed, since others write/,
      ),
    })
    expect(await textAt(await run(worker, given), '/f')).toBe('text\n')
    expect(opening).toHaveBeenCalledTimes(2)
  })

  test('an output that no tree can hold is a failure with words', async () => {
    const outcome = await process(sh('mkfifo "$PFS/out/p"'), [])
    expect(outcome.kind === 'failure' && outcome.reason).toMatch(/out\/p is a special file/)
  })

  test('a program that does not exist is refused by name: no datum could succeed', async () => {
    await using worker = await workers.open({ ...sh(''), command: ['no-such-program'] }, never)
    const work = {
      members: [],
      environment: {},
      onLine: () => {},
      onLeftOut: () => {},
      place,
      signal: never,
    }
    await expect(worker.process(work)).rejects.toThrow(/"no-such-program" was not found/)
  })

  test('a name that the host cannot hold is a failure with words', async () => {
    const outcome = await process(sh('exit 0'), [await member('in', `/${'n'.repeat(300)}`, 'x')])
    expect(outcome.kind === 'failure' && outcome.reason).toMatch(/more than 255 bytes/)
  })

  test('one datum sees nothing of the one before, and cannot change what is stored', async () => {
    const given = await member('in', '/f', 'stored')
    await using worker = await workers.open(
      sh('cd "$PFS"; ls -R . "$HOME"; cat in/f; echo broken >in/f; mkdir out/d; : >"$HOME/h"'),
      never,
    )
    const logs: string[] = []
    for (let round = 0; round < 2; round += 1) {
      const lines: string[] = []
      await worker.process({
        members: [given],
        environment: {},
        onLine: (line) => lines.push(line.text),
        onLeftOut: () => {},
        place,
        signal: never,
      })
      logs.push(lines.join('\n'))
    }
    expect(logs[0]).toContain('stored')
    expect(logs[1]).toBe(logs[0])
  })

  test('directories that the next datum does not have are gone', async () => {
    await using worker = await workers.open(sh('cd "$PFS" && find . >out/list; mkdir out/d'), never)
    const lists: (string | undefined)[] = []
    for (const path of ['/a/b/c/f', '/a/x/f', '/f', '/a/b']) {
      const given = await member('in', path, 'text')
      const work = {
        members: [given],
        environment: {},
        onLine: () => {},
        onLeftOut: () => {},
        place,
        signal: never,
      }
      const text = await textAt(await worker.process(work), '/list')
      lists.push(text?.trim().split('\n').toSorted().join(' '))
    }
    expect(lists).toEqual([
      '. ./in ./in/a ./in/a/b ./in/a/b/c ./in/a/b/c/f ./out ./out/list',
      '. ./in ./in/a ./in/a/x ./in/a/x/f ./out ./out/list',
      '. ./in ./in/f ./out ./out/list',
      '. ./in ./in/a ./in/a/b ./out ./out/list',
    ])
  })

  test('a datum that is cancelled rejects, while it runs and before', async () => {
    const abort = new AbortController()
    const what = sh('echo started; sleep 1000')
    const onLine = (): void => abort.abort()
    const running = process(what, [], { onLine, signal: abort.signal })
    await expect(running).rejects.toThrow(CancelledError)
    await expect(process(what, [], { signal: abort.signal })).rejects.toThrow(CancelledError)
    expect(readdirSync(join(data, 'scratch'))).toEqual([])
  })

  test('notices are those of the executor', () => {
    const transform = { ...sh('true'), image: 'ubuntu' }
    expect(workers.notices(transform)).toEqual(executor.notices(transform))
  })
})
