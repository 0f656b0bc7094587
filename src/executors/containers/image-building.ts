import { FailedPreconditionError } from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import type { ImageBuild } from '../../pipelines/image-builds.ts'
import type { Engine } from './engine.ts'

/** By this label `docker image prune --filter` finds what was built here. */
const buildLabel = 'pachyderm.build'
const tagDigits = 16
const linesMax = 40

/**
 * Builds an image of a folder, and names it after the pipeline and what is in it: jobs of older
 * versions of the pipeline go on with the image that they have.
 */
export async function buildImage(
  engine: Engine,
  { pipeline, archive, onLine }: ImageBuild,
  random: Random,
  signal: AbortSignal,
): Promise<string> {
  const repo = `localhost/pachyderm-build/${pipeline.toLowerCase()}`
  // A name of its own until it is known what it is: somebody else may build the same.
  const draft = `${repo}:building-${newHexId(random)}`
  const last: string[] = []
  const keep = (line: string): void => {
    onLine(line)
    last.push(line)
    if (last.length > linesMax) last.shift()
  }
  try {
    await engine.build({
      archive,
      name: draft,
      labels: { [buildLabel]: pipeline },
      onLine: keep,
      signal,
    })
  } catch (error) {
    if (!(error instanceof FailedPreconditionError)) throw error
    throw new FailedPreconditionError(
      [`the image for pipeline ${pipeline} could not be built: ${error.message}`, ...last].join(
        '\n',
      ),
      { cause: error },
    )
  }
  const image = await engine.image(draft)
  if (image === undefined) throw new FailedPreconditionError(`image ${draft} was not built`)
  const tag = image.id.replace(/^sha256:/, '').slice(0, tagDigits)
  await engine.tag(draft, { repo, tag })
  await engine.untag(draft)
  return `${repo}:${tag}`
}
