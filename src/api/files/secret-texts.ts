import type { Secrets } from '../../pipelines/secrets.ts'

/** What callers of the server may have it use, without having it themselves. */
export class SecretTexts {
  readonly #secrets: Pick<Secrets, 'texts'>

  constructor(secrets: Pick<Secrets, 'texts'>) {
    this.#secrets = secrets
  }

  /** The entries of a secret; undefined for no name. @throws {SecretNotFoundError} and what `texts` throws. */
  async given(name: string): Promise<Readonly<Record<string, string>> | undefined> {
    return name === '' ? undefined : await this.#secrets.texts(name)
  }
}
