import { type Operation, Preference, type StoredOperation } from '../../gen/pachyderm_pb.ts'
import type { Commit, File } from '../../gen/pfs_pb.ts'
import { visible } from './visible.ts'

/** An operation as one would write it on the command line, with what it came to. */
export function storedOperationText({ operation, reserved, result }: StoredOperation): string {
  const text = operation === undefined ? '' : commandText(operation)
  const id = result?.commit?.id ?? reserved?.id
  return visible(id === undefined ? text : `${text} -> ${id}`)
}

function commandText({ operation }: Operation): string {
  switch (operation.case) {
    case 'createRepo': {
      const { repo, update } = operation.value
      return `${update ? 'update-repo' : 'create-repo'} ${repo?.name ?? ''}`
    }
    case 'deleteRepo':
      return `delete-repo ${operation.value.repo?.name ?? ''}${operation.value.force ? ' --force' : ''}`
    case 'startCommit': {
      const { parent, branch } = operation.value
      const repo = parent?.repo?.name ?? ''
      const after = (parent?.id ?? '') === '' ? '' : ` --parent ${parent?.id ?? ''}`
      return `start-commit ${repo}${branch === '' ? '' : ` ${branch}`}${after}`
    }
    case 'finishCommit':
      return `finish-commit ${commitText(operation.value.commit)}`
    case 'deleteCommit':
      return `delete-commit ${commitText(operation.value.commit)}`
    case 'setBranch':
      return `set-branch ${commitText(operation.value.commit)} ${operation.value.branch}`
    case 'deleteBranch':
      return `delete-branch ${operation.value.repo?.name ?? ''} ${operation.value.branch}`
    case 'deleteFile':
      return `delete-file ${fileText(operation.value.file)}`
    case 'copyFile': {
      const { source, destination, overwrite, append } = operation.value
      const how = overwrite ? ' --overwrite' : append ? ' --append' : ''
      return `copy-file ${fileText(source)} ${fileText(destination)}${how}`
    }
    case 'moveFile': {
      const { source, destination, overwrite } = operation.value
      const how = overwrite ? ' --overwrite' : ''
      return `move-file ${fileText(source)} ${fileText(destination)}${how}`
    }
    case 'mergeBranch': {
      const { from, into, prefer } = operation.value
      return `merge-branch ${commitText(from)} ${into}${preferText(prefer)}`
    }
    case 'revertCommit': {
      const { commit, branch, prefer } = operation.value
      const on = branch === '' ? '' : ` --branch ${branch}`
      return `revert-commit ${commitText(commit)}${on}${preferText(prefer)}`
    }
    case 'tagCommit': {
      const { commit, tag, move } = operation.value
      return `tag-commit ${commitText(commit)} ${tag}${move ? ' --move' : ''}`
    }
    case 'deleteCommitTag':
      return `delete-commit-tag ${operation.value.repo?.name ?? ''} ${operation.value.tag}`
    case 'putFile':
      return `put-file ${fileText(operation.value.file)}`
    case undefined:
      return 'an operation that this pachctl does not know'
  }
}

function preferText(prefer: Preference): string {
  if (prefer === Preference.UNSPECIFIED) return ''
  return ` --prefer ${prefer === Preference.OURS ? 'ours' : 'theirs'}`
}

function commitText(commit: Commit | undefined): string {
  return `${commit?.repo?.name ?? ''} ${commit?.id ?? ''}`
}

function fileText(file: File | undefined): string {
  return `${commitText(file?.commit)} ${file?.path ?? ''}`
}
