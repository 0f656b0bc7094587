import type { MessageInitShape } from '@bufbuild/protobuf'
import { createReadStream } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { requireOutsideBackup, requireOutsideData } from '../../backups/backup-directory.ts'
import { ArchivePlace, ArchiveWriter, mayBeReplaced } from '../../backups/archive.ts'
import { DirectoryPlace } from '../../backups/object-store-place.ts'
import type { BackupPlace } from '../../backups/place.ts'
import { type BackupSecret, secretInFile } from '../../backups/sealing.ts'
import {
  FailedPreconditionError,
  NotFoundError,
  ResourceExhaustedError,
} from '../../base/errors.ts'
import type { ByteStream } from '../../base/bytes.ts'
import { newHexId, SystemRandom } from '../../base/random.ts'
import type { BackupPlaceSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { isDiskFull } from '../downloading/local-errors.ts'
import { UsageError } from '../errors.ts'
import type { Flags } from '../flags.ts'
import { createNamedFile, namedFile } from '../named-file.ts'
import { secretText } from '../parsing/secret-text.ts'

/** Where the person says that the backup is. */
export type WantedPlace =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string }
  /** Standard output, or input. */
  | { readonly kind: 'pipe' }

/** Names of the standard output and input, which cannot always be opened by them. */
const standardStreams = /^(?:-|\/dev\/std(?:in|out)|(?:\/dev|\/proc\/self)\/fd\/[01])?$/

const standardInput = /^(?:\/dev\/stdin|(?:\/dev|\/proc\/self)\/fd\/0)$/

export function wantedPlace({ flags }: Pick<CommandContext, 'flags'>): WantedPlace {
  for (const name of ['url', 'directory'] as const) {
    // As of a variable that is not set: nobody means the standard output by that.
    if (flags.list(name).includes(''))
      throw new UsageError(`--${name} is empty: say where the backup is`)
  }
  const [url, directory, file] = [flags.text('url'), flags.text('directory'), flags.text('file')]
  if ([url, directory, file].filter((text) => text !== '').length > 1) {
    throw new UsageError('a backup is in one place: give one of --directory, --file and --url')
  }
  if (url !== '') return { kind: 'url', url }
  if (directory !== '') return { kind: 'directory', path: resolve(directory) }
  return standardStreams.test(file) ? { kind: 'pipe' } : { kind: 'file', path: resolve(file) }
}

const secretFlags = ['key-file', 'passphrase-file'] as const

/** @throws {InvalidArgumentError} when the file cannot be read, or holds no secret. */
export async function secretOf({
  flags,
}: Pick<CommandContext, 'flags'>): Promise<BackupSecret | undefined> {
  const [keyFile, passphraseFile] = [flags.text('key-file'), flags.text('passphrase-file')]
  if (keyFile !== '' && passphraseFile !== '') {
    throw new UsageError('a backup is encrypted with a key or with a passphrase, not with both')
  }
  if (keyFile !== '') return secretInFile('key', keyFile, await secretText(keyFile))
  if (passphraseFile === '') return undefined
  return secretInFile('passphrase', passphraseFile, await secretText(passphraseFile))
}

/** The same for a backup that is read, which may come through the standard input itself. */
export async function secretToRead(
  { flags }: Pick<CommandContext, 'flags'>,
  wanted: WantedPlace,
): Promise<BackupSecret | undefined> {
  const name = secretFlags.find((flag) => standardInput.test(flags.text(flag)))
  if (name !== undefined && wanted.kind === 'pipe') {
    throw new UsageError(
      `the backup comes through the standard input, and so would what --${name} names: give one of the two as a file, as in --file ARCHIVE or --${name} FILE`,
    )
  }
  return await secretOf({ flags })
}

/** A place that the server reaches, as a message. */
export function placeMessage(
  url: string,
  secret: BackupSecret | undefined,
): MessageInitShape<typeof BackupPlaceSchema> {
  switch (secret?.kind) {
    case 'passphrase':
      return { url, secret: { secret: { case: 'passphrase', value: secret.text } } }
    case 'key':
      return { url, secret: { secret: { case: 'key', value: secret.bytes } } }
    case undefined:
      return { url }
  }
}

/** An archive that is written, and is there when it is whole. */
export interface WrittenArchive extends AsyncDisposable {
  readonly place: ArchiveWriter
  complete(): Promise<void>
}

const msPerSecond = 1000
const microsPerMs = 1000

/**
 * @throws {InvalidArgumentError} when the file cannot be made.
 * @throws {FailedPreconditionError} when it would take the place of what is no backup, or be in a data directory.
 */
export async function writeArchive(
  wanted: Extract<WantedPlace, { readonly kind: 'file' | 'pipe' }>,
  { flags, out, clock }: Pick<CommandContext, 'flags' | 'out' | 'clock'>,
): Promise<WrittenArchive> {
  const seconds = Math.floor(clock.now() / microsPerMs / msPerSecond)
  if (wanted.kind === 'pipe') {
    if (out.isTerminal) {
      throw new UsageError(
        'a backup is nothing for a terminal: give --directory, --file or --url, or send the output somewhere',
      )
    }
    const place = new ArchiveWriter('the output', (bytes) => out.write(bytes), seconds)
    return {
      place,
      complete: async () => {
        await place.end()
        await out.flush()
      },
      [Symbol.asyncDispose]: async () => {},
    }
  }
  const { path } = wanted
  await requireTakeable(path, flags)
  const file = await createNamedFile(path)
  const place = new ArchiveWriter(path, (bytes) => file.write(bytes), seconds)
  return {
    place,
    complete: async () => {
      await place.end()
      await file.complete()
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  }
}

/** A path that is mistyped is a key, or somebody's work. A pipe or a device is nothing that could be lost. */
async function requireTakeable(path: string, flags: Flags): Promise<void> {
  const target = namedFile(path)
  if (target === undefined) return
  for (const name of secretFlags) {
    const secretFile = flags.text(name)
    if (secretFile === '' || !(await isSameFile(target, secretFile))) continue
    throw new FailedPreconditionError(
      `${path} is the file of --${name}: the backup would take the place of what opens it; name another file`,
    )
  }
  await requireOutsideData(target)
  await requireOutsideBackup(target)
  if (flags.isOn('force') || (await mayBeReplaced(target))) return
  throw new FailedPreconditionError(
    `${path} is no backup, and what it holds would be lost: name another file, or give --force`,
  )
}

/** Whatever links lead there. */
async function isSameFile(path: string, other: string): Promise<boolean> {
  const [one, two] = await Promise.all(
    [path, other].map(async (each) => await stat(each, { bigint: true }).catch(() => undefined)),
  )
  return one !== undefined && one.dev === two?.dev && one.ino === two.ino
}

/** Opens a backup on this side for reading; what comes through a pipe is kept in a temporary file. */
export async function openToRead(
  wanted: Exclude<WantedPlace, { readonly kind: 'url' }>,
  { input }: Pick<CommandContext, 'input'>,
): Promise<BackupPlace> {
  switch (wanted.kind) {
    case 'directory': {
      const found = await stat(wanted.path).catch(() => undefined)
      if (found?.isDirectory() === true) return DirectoryPlace.openForReading(wanted.path)
      throw new NotFoundError(`${wanted.path} is no directory`)
    }
    case 'file': {
      const { path } = wanted
      const found = await stat(path).catch(() => undefined)
      if (found?.isDirectory() === true) {
        throw new FailedPreconditionError(`${path} is a directory: give it with --directory`)
      }
      const isWhole = found?.isFile() ?? true
      if (isWhole) return await ArchivePlace.open(path)
      return await openPiped(createReadStream(path), path)
    }
    case 'pipe':
      return await openPiped(input.bytes(), 'the input')
  }
}

/** A snapshot is found from the end of an archive, so that all of it has to be there first. */
async function openPiped(bytes: ByteStream, name: string): Promise<ArchivePlace> {
  const path = join(tmpdir(), `pachctl-backup-${newHexId(new SystemRandom())}.tar`)
  try {
    {
      await using file = await open(path, 'wx', 0o600)
      for await (const slice of bytes) await file.writeFile(slice)
    }
    return await ArchivePlace.open(path, name)
  } catch (error) {
    if (!isDiskFull(error)) throw error
    throw new ResourceExhaustedError(
      `no room is left in ${tmpdir()} for the backup that comes through the pipe: name another directory with the variable TMPDIR, or a file with --file`,
      { cause: error },
    )
  } finally {
    // It lasts as long as it is open.
    await rm(path, { force: true })
  }
}
