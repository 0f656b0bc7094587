import { InvalidArgumentError } from '../../base/errors.ts'
import type { CommandContext } from '../command.ts'
import { placeText } from '../parsing/json-documents.ts'
import { convertSpec } from '../parsing/old-specs.ts'
import { inSource, specDocuments } from '../parsing/spec-documents.ts'
import { readSource } from '../spec-source.ts'

/** Prints specs as they are written now, and beside them what to look at. */
export async function convertSpecs({
  flags,
  out,
  err,
  input,
  clock,
}: CommandContext): Promise<void> {
  // Only specs go to standard output.
  const source = await readSource({ input, out: err, clock }, flags.text('file'))
  const documents = specDocuments(source.text)
  let count = 0
  for (;;) {
    const next = await inSource(source, () => documents.next())
    if (next.done === true) break
    const { value, offset } = next.value
    const place = ` (which begins at ${placeText(source.text, offset)})`
    const { spec, warnings } = await inSource(source, () => convertSpec(value), place)
    count += 1
    const name = nameOf(spec)
    for (const warning of warnings) await err.line(`${name}: ${warning}`)
    await out.line(JSON.stringify(spec, undefined, 2))
  }
  if (count > 0) return
  throw new InvalidArgumentError(
    `there is no spec in ${source.name}: a spec is an object, as in {"pipeline": {"name": "edges"}, …}`,
  )
}

function nameOf(spec: Readonly<Record<string, unknown>>): string {
  const { pipeline } = spec
  const hasName = typeof pipeline === 'object' && pipeline !== null && 'name' in pipeline
  return hasName ? `pipeline ${String(pipeline.name)}` : 'a pipeline without a name'
}
