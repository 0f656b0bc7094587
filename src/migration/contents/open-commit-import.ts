import { type FilePath, joinPath, parseFilePath, rootPath } from '../../base/paths.ts'
import type { OldPut, OldWrite } from '../../legacy/old-records.ts'
import { contentSizeBytes, type Content } from '../../storage/contents.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import { treeEntry, type CommitTree } from '../../versioning/commit-records.ts'
import { isDamage } from '../findings.ts'
import { joinedContent, type TreeImportPorts } from './tree-import.ts'
import { OldDamageError } from '../../legacy/damage.ts'

const indexDigits = 16

/**
 * The tree that an open commit would have if it was finished: the writes are applied to the parent's
 * tree in their order, as the old server would. Those that cannot be are told and passed over.
 */
export async function replayWrites(
  ports: TreeImportPorts,
  owner: string,
  parent: CommitTree | undefined,
  writes: readonly OldWrite[],
): Promise<CommitTree> {
  let root = parent === undefined ? await ports.trees.emptyRoot() : treeEntry(parent)
  for (const write of writes) {
    ports.signal.throwIfAborted()
    try {
      root = await applied(ports, root, write)
    } catch (error) {
      if (!isDamage(error)) throw error
      const reason = `a write to an open commit cannot be applied: ${error.message}`
      ports.findings.damage('file', `${owner}:${write.path}`, reason)
    }
  }
  await ports.chunks.flush()
  const { root: hash, sizeBytes, fileCount } = root
  return { root: hash, sizeBytes, fileCount }
}

async function applied(
  ports: TreeImportPorts,
  root: DirectoryEntry,
  { path: text, change }: OldWrite,
): Promise<DirectoryEntry> {
  const path = parseFilePath(text)
  const { trees } = ports
  if (change.kind === 'delete') {
    if (path === rootPath) return await trees.emptyRoot()
    return await trees.edit(root, [{ path, entry: undefined }], { emptied: 'keep' })
  }
  if (path === rootPath && !change.isSplit) throw new OldDamageError('it is a put to no path')
  if (!change.isSplit) {
    const existing = await trees.get(root, path)
    if (existing?.kind === 'directory') {
      throw new OldDamageError('it is a put to a path that is a directory')
    }
    const added = await contentOf(ports, change.records)
    const content =
      existing === undefined ? added : await ports.intake.append(existing.content, added)
    return await trees.edit(root, [{ path, entry: { kind: 'file', content } }], { emptied: 'keep' })
  }
  let index = await nextIndex(ports, root, path)
  let tree = root
  for (const record of change.records) {
    const content = await contentOf(ports, [record])
    const piece = joinPath(path, index.toString(16).padStart(indexDigits, '0'))
    const edit = { path: piece, entry: { kind: 'file', content } } as const
    tree = await trees.edit(tree, [edit], { emptied: 'keep' })
    index += 1
  }
  return tree
}

/** Pieces are numbered on from the last name in their directory. */
async function nextIndex(
  { trees }: TreeImportPorts,
  root: DirectoryEntry,
  path: FilePath,
): Promise<number> {
  const existing = await trees.get(root, path)
  if (existing === undefined) return 0
  if (existing.kind === 'file') throw new OldDamageError('it is a split to a path that is a file')
  const last = await trees.lastName(existing)
  if (last === undefined) return 0
  if (/^[0-9a-f]{1,13}$/.test(last.replace(/^0+(?=.)/, ''))) return Number.parseInt(last, 16) + 1
  throw new OldDamageError(`it is a split to a directory that holds ${JSON.stringify(last)}`)
}

async function contentOf(ports: TreeImportPorts, records: readonly OldPut[]): Promise<Content> {
  const hashes = records.map(({ object }) => object)
  const found = await ports.content.contentsOf(hashes)
  const content = await joinedContent(ports.intake, hashes, found)
  if (content === undefined) throw new OldDamageError('an object of its content is damaged')
  const sizeBytes = records.reduce((sum, record) => sum + record.sizeBytes, 0)
  if (contentSizeBytes(content) === sizeBytes) return content
  throw new OldDamageError(
    `it has ${contentSizeBytes(content)} bytes, and should have ${sizeBytes}`,
  )
}
