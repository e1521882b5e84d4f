//! The image service of CRI on the store and the registries.
use super::reference::Reference;
use super::store::Image as Stored;
use crate::runtime::Runtime;
use async_trait::async_trait;
use cri::v1::*;
use cri::{Result, Status, Streaming};

fn shown(image: &Stored) -> Image {
    let user = image.configuration.config.user.split(':').next().unwrap_or_default();
    let uid = if user.is_empty() { Some(0) } else { user.parse::<i64>().ok() };
    Image {
        id: image.id.clone(),
        repo_tags: image.tags.iter().cloned().collect(),
        repo_digests: image.digests.iter().cloned().collect(),
        size: image.size_bytes,
        uid: uid.map(|value| Int64Value { value }),
        username: if uid.is_some() { String::new() } else { user.to_owned() },
        spec: None,
        pinned: image.pinned,
    }
}

fn wanted(spec: Option<ImageSpec>) -> Result<String> {
    spec.map(|spec| spec.image).filter(|name| !name.is_empty()).ok_or_else(|| Status::invalid_argument("no image named"))
}

impl Runtime {
    fn list_some_images(&self, filter: Option<ImageFilter>) -> Vec<Image> {
        match filter.and_then(|filter| filter.image).filter(|spec| !spec.image.is_empty()) {
            Some(spec) => self.images.find(&spec.image).iter().map(shown).collect(),
            None => self.images.list().iter().map(shown).collect(),
        }
    }
}

#[async_trait]
impl cri::Images for Runtime {
    async fn list_images(&self, request: ListImagesRequest) -> Result<ListImagesResponse> {
        Ok(ListImagesResponse { images: self.list_some_images(request.filter) })
    }

    async fn stream_images(&self, request: StreamImagesRequest) -> Result<Streaming<StreamImagesResponse>> {
        Ok(crate::service::chunks(self.list_some_images(request.filter), |images| StreamImagesResponse { images }))
    }

    async fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse> {
        let image = self.images.find(&wanted(request.image)?);
        Ok(ImageStatusResponse { image: image.as_ref().map(shown), ..Default::default() })
    }

    async fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse> {
        let name = wanted(request.image)?;
        let reference = Reference::parse(&name)?;
        // Two who want the same image wait for one pull.
        let turn = self.pulls.lock().entry(reference.to_string()).or_default().clone();
        let _turn = turn.lock().await;
        let pulled = super::registry::pull(&self.images, &self.config.registries, &reference, request.auth.as_ref()).await;
        self.pulls.lock().retain(|_, turn| std::sync::Arc::strong_count(turn) > 2);
        let image = pulled.map_err(|problem| super::registry::status(&name, problem))?;
        Ok(PullImageResponse {
            image_ref: image.digests.iter().find(|digest| digest.starts_with(&reference.name())).cloned().unwrap_or(image.id),
        })
    }

    async fn remove_image(&self, request: RemoveImageRequest) -> Result<RemoveImageResponse> {
        let (store, name, in_use) = (self.images.clone(), wanted(request.image)?, self.layers_in_use());
        tokio::task::spawn_blocking(move || store.remove(&name, &in_use)).await.map_err(|error| Status::unknown(error.to_string()))??;
        Ok(RemoveImageResponse {})
    }

    async fn image_fs_info(&self, _: ImageFsInfoRequest) -> Result<ImageFsInfoResponse> {
        let (images, containers) = self.file_systems();
        Ok(ImageFsInfoResponse { image_filesystems: vec![images], container_filesystems: vec![containers] })
    }
}
