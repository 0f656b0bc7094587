import { readFile } from 'node:fs/promises'
import { concatBytes } from '../../base/bytes.ts'
import { type SecretEntry, type SecretInfo, SecretInfoSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { secretsClient } from '../own-clients.ts'
import { secretManifest } from '../parsing/secret-manifest.ts'
import { rawText } from '../printing/json.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'

type Entry = Pick<SecretEntry, 'name' | 'value'>

interface Requested {
  readonly name: string
  readonly entries: Entry[]
}

export async function createSecret(context: CommandContext): Promise<void> {
  await secretsClient(context).createSecret(await requested(context))
}

export async function updateSecret(context: CommandContext): Promise<void> {
  await secretsClient(context).updateSecret(await requested(context))
}

async function requested(context: CommandContext): Promise<Requested> {
  const [name, ...words] = context.args
  const file = context.flags.text('file')
  if (file !== '') {
    if (words.length > 0) throw new UsageError('--file has all entries: leave out ENTRY=FILE')
    const source = file === '-' ? 'the standard input' : file
    const manifest = secretManifest(Buffer.from(await bytesOf(context, file)).toString(), source)
    return name === undefined ? manifest : { ...manifest, name }
  }
  if (name === undefined || words.length === 0) {
    throw new UsageError(
      'say what the secret is called and holds, as in: database password=password.txt; or name a file with --file',
    )
  }
  if (words.filter((word) => word.endsWith('=-')).length > 1) {
    throw new UsageError('only one entry can be read from standard input')
  }
  const entries: Entry[] = []
  for (const word of words) entries.push(await entryOf(context, word))
  return { name, entries }
}

async function entryOf(context: CommandContext, word: string): Promise<Entry> {
  const at = word.indexOf('=')
  if (at <= 0 || at === word.length - 1) {
    // The word may be a value that was meant to stay unseen: it is not said again.
    throw new UsageError(
      'an entry is written ENTRY=FILE, as in password=password.txt, or password=- for standard input',
    )
  }
  const [name, file] = [word.slice(0, at), word.slice(at + 1)]
  try {
    return { name, value: await bytesOf(context, file) }
  } catch (error) {
    // Nor is it here.
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing) throw error
    throw new UsageError(
      `the file of entry ${name} is not there: values are read from files, not from the command line`,
    )
  }
}

async function bytesOf({ input }: CommandContext, file: string): Promise<Uint8Array> {
  if (file !== '-') return await readFile(file)
  return concatBytes(await Array.fromAsync(input.bytes()))
}

export async function inspectSecret(context: CommandContext): Promise<void> {
  const { args, flags, out, clock } = context
  const [name = ''] = args
  const info = await secretsClient(context).inspectSecret({ name })
  if (flags.isOn('raw')) return await out.write(rawText(SecretInfoSchema, info))
  await out.write(
    [
      `Name: ${info.name}`,
      `Entries: ${info.entries.join(', ')}`,
      `Created: ${ageText(info.createdAt, clock)}`,
      `Updated: ${ageText(info.updatedAt, clock)}`,
      `Pipelines: ${info.pipelines.join(', ') || '(none)'}\n`,
    ].join('\n'),
  )
}

export async function listSecret(context: CommandContext): Promise<void> {
  const { flags, out, clock } = context
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('NAME', 'ENTRIES', 'CREATED', 'UPDATED')
  const add = ({ name, entries, createdAt, updatedAt }: SecretInfo): void =>
    table.add(name, String(entries.length), ageText(createdAt, clock), ageText(updatedAt, clock))
  for await (const { secrets } of secretsClient(context).listSecrets({})) {
    if (isRaw) await out.write(secrets.map((info) => rawText(SecretInfoSchema, info)).join(''))
    else {
      secrets.forEach(add)
      await table.flush()
    }
  }
  if (!isRaw) await table.flush()
}

export async function deleteSecret(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await secretsClient(context).deleteSecret({ name })
}
