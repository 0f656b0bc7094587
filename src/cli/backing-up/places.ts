import type { MessageInitShape } from '@bufbuild/protobuf'
import { open, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ArchivePlace, ArchiveWriter } from '../../backups/archive.ts'
import { DirectoryPlace } from '../../backups/object-store-place.ts'
import type { BackupPlace } from '../../backups/place.ts'
import { type BackupSecret, parseKey, parsePassphrase } from '../../backups/sealing.ts'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import { newHexId, SystemRandom } from '../../base/random.ts'
import type { BackupPlaceSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { secretText } from '../parsing/secret-text.ts'

/** Where the person says that the backup is. */
export type WantedPlace =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string }
  /** Standard output, or input. */
  | { readonly kind: 'pipe' }

export function wantedPlace({ flags }: Pick<CommandContext, 'flags'>): WantedPlace {
  const [url, directory, file] = [flags.text('url'), flags.text('directory'), flags.text('file')]
  if ([url, directory, file].filter((text) => text !== '').length > 1) {
    throw new UsageError('a backup is in one place: give one of --directory, --file and --url')
  }
  if (url !== '') return { kind: 'url', url }
  if (directory !== '') return { kind: 'directory', path: resolve(directory) }
  return file === '' || file === '-' ? { kind: 'pipe' } : { kind: 'file', path: resolve(file) }
}

/** @throws {InvalidArgumentError} when the file cannot be read, or holds no secret. */
export async function secretOf({
  flags,
}: Pick<CommandContext, 'flags'>): Promise<BackupSecret | undefined> {
  const [keyFile, passphraseFile] = [flags.text('key-file'), flags.text('passphrase-file')]
  if (keyFile !== '' && passphraseFile !== '') {
    throw new UsageError('a backup is encrypted with a key or with a passphrase, not with both')
  }
  if (keyFile !== '') return parseKey(await secretText(keyFile))
  return passphraseFile === '' ? undefined : parsePassphrase(await secretText(passphraseFile))
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

/** @throws {InvalidArgumentError} when the file cannot be made. */
export async function writeArchive(
  wanted: Extract<WantedPlace, { readonly kind: 'file' | 'pipe' }>,
  { out, clock }: Pick<CommandContext, 'out' | 'clock'>,
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
  const partial = `${path}.${newHexId(new SystemRandom())}.partial`
  const file = await open(partial, 'wx').catch((cause: unknown) => {
    throw new InvalidArgumentError(
      `cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  })
  const place = new ArchiveWriter(path, (bytes) => file.writeFile(bytes), seconds)
  return {
    place,
    complete: async () => {
      await place.end()
      await file.sync()
      await rename(partial, path)
      await using directory = await open(dirname(path), 'r')
      await directory.sync()
    },
    [Symbol.asyncDispose]: async () => {
      await file.close()
      await rm(partial, { force: true })
    },
  }
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
    case 'file':
      return await ArchivePlace.open(wanted.path)
    case 'pipe': {
      const path = join(tmpdir(), `pachctl-backup-${newHexId(new SystemRandom())}.tar`)
      try {
        {
          await using file = await open(path, 'wx', 0o600)
          for await (const bytes of input.bytes()) await file.writeFile(bytes)
        }
        return await ArchivePlace.open(path)
      } finally {
        // It lasts as long as it is open.
        await rm(path, { force: true })
      }
    }
  }
}
