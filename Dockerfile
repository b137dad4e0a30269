# The image of one of the programs: operator, inference, trainer, or load (the client that the tests run in a cluster).
#
#   docker build --build-arg PROGRAM=operator .                            builds from source
#   docker build -f Dockerfile --build-arg BINARY=prebuilt DIR             takes what DIR has
#
# Both ways end in the same image, without a shell: the certificate authorities and one static program, or the trainer with XGBoost and
# LightGBM and the shared libraries that these need.
ARG BINARY=source
ARG RUST=docker.io/library/rust:1.95.0-bookworm

FROM ${RUST} AS source
ARG PROGRAM
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates musl-tools python3-pip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# aws-lc is C: of a static program it must be compiled against musl too.
RUN set -eu; \
    program=${PROGRAM:?build with --build-arg PROGRAM=operator, inference or trainer}; \
    if [ "$program" = trainer ]; then \
      CARGO_TARGET_DIR=/target cargo build --release --locked -p modelward-trainer; \
      hack/engines/fetch.sh /engines; \
      hack/engines/collect.sh /target/release/modelward-trainer /engines /out; \
    else \
      CC_x86_64_unknown_linux_musl=musl-gcc CARGO_TARGET_DIR=/target \
        cargo build --release --locked --target x86_64-unknown-linux-musl -p "modelward-$program"; \
      install -D "/target/x86_64-unknown-linux-musl/release/modelward-$program" /out/modelward; \
    fi; \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch AS prebuilt
COPY . /out/

FROM ${BINARY} AS binary

FROM scratch
COPY --from=binary /out/ /
USER 65532:65532
ENTRYPOINT ["/modelward"]
