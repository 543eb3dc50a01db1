/** What the agent uses of `cap` 0.2.1, which brings no types. */
declare module "cap" {
  class Cap {
    /**
     * Starts to capture; one object, one capture. The packet's octets are in `buffer` during the event alone, and the
     * native side holds no reference to it.
     * @returns the link type's name.
     */
    open(device: string, filter: string, socketBufferBytes: number, buffer: Buffer): string;
    on(event: "packet", listener: (bytes: number, isTruncated: boolean) => void): this;
  }
  const cap: { readonly Cap: typeof Cap };
  export = cap;
}
