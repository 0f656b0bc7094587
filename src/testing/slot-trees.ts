import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { collectBytes, utf8 } from '../base/bytes.ts'
import { parseFilePath, pathKey, rootPath } from '../base/paths.ts'
import type { Contents } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit } from '../storage/file-trees.ts'

/** Texts by path. Directories end in a slash. */
export type Files = Readonly<Record<string, string>>

interface TreePorts {
  readonly trees: FileTrees
  readonly contents: Contents
}

/** Makes them below a directory. */
export function placeFiles(directory: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name)
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true })
    if (!name.endsWith('/')) writeFileSync(path, text)
  }
}

/** A stored tree of them. */
export async function treeOfFiles(
  { trees, contents }: TreePorts,
  files: Files,
): Promise<DirectoryEntry> {
  const empty = await trees.emptyRoot()
  const edits: TreeEdit[] = await Promise.all(
    Object.entries(files).map(async ([name, text]) => ({
      path: parseFilePath(name),
      entry: name.endsWith('/')
        ? empty
        : { kind: 'file' as const, content: await contents.writeBytes(utf8(text)) },
    })),
  )
  const sorted = edits.toSorted((left, right) =>
    Buffer.compare(pathKey(left.path), pathKey(right.path)),
  )
  return await trees.edit(empty, sorted, { emptied: 'keep' })
}

/** What a stored tree has. */
export async function filesOfTree(
  { trees, contents }: TreePorts,
  root: DirectoryEntry,
): Promise<Files> {
  const files: Record<string, string> = {}
  for await (const { path, entry } of trees.walk(root, { directories: true })) {
    if (entry.kind === 'file') {
      files[path] = Buffer.from(await collectBytes(contents.read(entry.content), 1e8)).toString()
    } else if (path !== rootPath) files[`${path}/`] = ''
  }
  return files
}
