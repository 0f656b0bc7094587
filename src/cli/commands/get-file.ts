import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { readFile } from '../../client/file-transfers.ts'
import { Progress } from '../printing/progress.ts'
import { storeFile } from '../downloading/store-file.ts'

export async function getFile(context: CommandContext): Promise<void> {
  const { args, flags, transport, out } = context
  const [repo = '', id = '', path = ''] = args
  const file = { commit: { repo, id }, path }
  const output = flags.text('output')
  if (flags.isOn('recursive')) {
    if (output === '') {
      throw new UsageError(
        'an output path needs to be specified when using the --recursive (-r) flag',
      )
    }
    const { storeTree } = await import('../downloading/store-tree.ts')
    const parallelism = Math.max(1, flags.count('parallelism'))
    await storeTree(context, { file, directory: output, parallelism })
  } else if (output === '') {
    for await (const slice of readFile(transport, file)) await out.write(slice)
  } else {
    const progress = new Progress(context, 'got')
    await storeFile(readFile(transport, file), output, progress)
    await progress.end()
  }
}
