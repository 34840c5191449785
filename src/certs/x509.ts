import "reflect-metadata";

/** The X.509 library, loaded after what it needs at load time. */
export * as x509 from "@peculiar/x509";
